import type { Redis, RedisOptions } from "ioredis";
import { publishedKey, type Services } from "../ports.ts";
import { Buckets } from "../stores/buckets.ts";
import { CallStore } from "../stores/calls.ts";
import { Channels, channelOptions } from "../stores/channels.ts";
import { EventLog } from "../stores/event-log.ts";
import { JobQueue } from "../stores/job-queue.ts";
import { LoginCodeStore } from "../stores/login-codes.ts";
import type { Database } from "../stores/postgres.ts";
import { type SessionLife, SessionStore } from "../stores/sessions.ts";
import { SharedCache } from "../stores/shared-cache.ts";
import { TokenStore } from "../stores/tokens.ts";
import { looksUp } from "../tools/catalogue/look-ups.ts";
import { toolCatalogue } from "../tools/catalogue.ts";
import { activityService } from "./activities.ts";
import { agentService } from "./agents.ts";
import { type CacheObserver, type CacheSettings, cacheService } from "./cache.ts";
import { type Changer, changer, type EventPublisher } from "./changes.ts";
import { type EventObserver, eventService } from "./events.ts";
import { healthService } from "./health.ts";
import { historyService } from "./history.ts";
import { type IdentityObserver, identityService } from "./identity.ts";
import { jobService } from "./jobs.ts";
import { type LimitObserver, type LimitSettings, limitService } from "./limits.ts";
import { memoryService } from "./memory.ts";
import { type Attempt, type Once, once } from "./once.ts";
import { ReadCounts } from "./read-counts.ts";
import { swarmService } from "./swarm.ts";
import { taskService } from "./tasks.ts";
import { type TerminalSettings, terminalService } from "./terminals.ts";
import { type ToolServices, toolServices } from "./tool-services.ts";

/** What the services of a worker work with. */
export interface ServiceParts {
	readonly database: Database;
	/** Opens a connection to a group of Redis servers; the services close it. */
	readonly connect: (group: "state" | "cache", purpose: string, overrides: Partial<RedisOptions>) => Redis;
	readonly observe: ServiceObserver;
}

export interface ServiceSettings {
	/** Milliseconds for which neither a claimed task nor its agent may be silent. */
	readonly claimSilenceMs: number;
	readonly cache: CacheSettings;
	readonly sessions: SessionLife;
	readonly limits: LimitSettings;
	/** Null where there are no terminals. */
	readonly terminals: TerminalSettings | null;
}

/** Told what happens; must not throw. */
export interface ServiceObserver extends EventObserver, CacheObserver, LimitObserver, IdentityObserver {}

/** What a tool works with, for one attempt of its job: what it changes is changed once, however often the job is run. */
export interface JobServices
	extends Pick<Services, "swarm" | "agents" | "tasks" | "activities" | "memory" | "cache" | "health" | "jobs">,
		ToolServices {}

export interface RunningServices extends Services {
	readonly channels: Channels;
	readonly queue: JobQueue;
	forAttempt(attempt: Attempt): { readonly services: JobServices; readonly step: Once["step"] };
	/** Writes what is left to write, and closes the connections to Redis. The database is whoever's that opened it. */
	close(): Promise<void>;
}

/** Longest wait for an answer of Redis, milliseconds. */
const patience = {
	/** There is no other place to ask. */
	state: 2_000,
	/** Without it every worker goes on by itself. */
	limits: 250,
	/** Without it, the answer is in the database. */
	cache: 150,
	/** Without it, job workers look into the database a little later. */
	queue: 1_000,
} as const;

/** For what can be done without: an error at once where Redis is away. */
const impatient = { enableOfflineQueue: false, autoResendUnfulfilledCommands: false } as const;

export function createServices({ database, connect, observe }: ServiceParts, settings: ServiceSettings): RunningServices {
	const problem = (what: string) => (error: unknown) => observe.problem(what, error);
	const redis = {
		state: connect("state", "services", { commandTimeout: patience.state }),
		limits: connect("state", "limits", { ...impatient, commandTimeout: patience.limits }),
		channels: connect("state", "channels", channelOptions),
		cache: connect("cache", "cache", { ...impatient, commandTimeout: patience.cache }),
		queue: connect("state", "queue", { ...impatient, commandTimeout: patience.queue }),
	};
	const channels = new Channels(redis.channels, problem("channels cannot be listened to"));
	const shared = new SharedCache(redis.cache, problem("the shared cache does not answer"));
	const cache = cacheService({ shared, state: redis.state, channels, observe }, settings.cache);
	const events = eventService(new EventLog(redis.state, database), channels, observe);
	const identity = identityService(
		{
			tokens: new TokenStore(database),
			sessions: new SessionStore(redis.state, settings.sessions),
			codes: new LoginCodeStore(redis.state),
			state: redis.state,
			channels,
			observe,
		},
		settings.sessions,
	);
	const limits = limitService(new Buckets(redis.limits), settings.limits, observe);
	const terminals = terminalService(
		{ connect: (purpose, overrides) => connect("state", purpose, overrides), problem: observe.problem },
		settings.terminals,
	);
	const health = healthService({ database, redis: { state: redis.state, cache: redis.cache } });
	const change = changer(database, publisherOf(cache, events));
	const unpublish = (workspace: string, key: string) =>
		cache.invalidate(publishedKey(workspace, key)).catch(problem("a published entry may be outdated"));
	const reads = new ReadCounts(database, problem("reads of memory entries were not counted"));
	const queue = new JobQueue(redis.queue, problem("the queue does not answer"));
	const jobs = jobService({ database, queue, redis: redis.queue, channels, looksUp, onProblem: observe.problem });
	const changing = (by: Changer) => ({
		swarm: swarmService(database, by),
		agents: agentService(database, by),
		tasks: taskService(database, by, { claimSilenceMs: settings.claimSilenceMs }),
		memory: memoryService(database, by, unpublish, reads),
	});
	const others = { activities: activityService(database), cache, health, jobs };
	return {
		...changing(change),
		...others,
		history: historyService(database),
		events,
		identity,
		calls: new CallStore(redis.state),
		terminals,
		limits,
		tools: toolCatalogue(),
		channels,
		queue,
		forAttempt(attempt) {
			const { change: changeOnce, step } = once(database, change, attempt);
			const forTools = toolServices({ database, cache, onProblem: observe.problem }, changeOnce);
			return { services: { ...changing(changeOnce), ...others, ...forTools }, step };
		},
		async close() {
			for (const service of [events, identity, limits, health, channels, terminals]) service.close();
			await Promise.all([reads.close(), queue.close()]);
			for (const connection of Object.values(redis)) connection.disconnect();
		},
	};
}

/** Whoever hears of a change and asks for more must not be answered with what was before it. */
function publisherOf(cache: Services["cache"], events: EventPublisher): EventPublisher {
	return {
		publish(workspace, changes) {
			void cache.invalidate(`${workspace}:`).then(() => events.publish(workspace, changes));
		},
	};
}

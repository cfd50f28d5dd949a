import type { Redis, RedisOptions } from "ioredis";
import { publishedKey, type Services } from "../ports.ts";
import { Buckets } from "../stores/buckets.ts";
import { Channels, channelOptions } from "../stores/channels.ts";
import { EventLog } from "../stores/event-log.ts";
import { LoginCodeStore } from "../stores/login-codes.ts";
import type { Database } from "../stores/postgres.ts";
import { type SessionLife, SessionStore } from "../stores/sessions.ts";
import { SharedCache } from "../stores/shared-cache.ts";
import { TokenStore } from "../stores/tokens.ts";
import { activityService } from "./activities.ts";
import { agentService } from "./agents.ts";
import { type CacheObserver, type CacheSettings, cacheService } from "./cache.ts";
import { changer, type EventPublisher } from "./changes.ts";
import { type EventObserver, eventService } from "./events.ts";
import { healthService } from "./health.ts";
import { type IdentityObserver, identityService } from "./identity.ts";
import { type LimitObserver, type LimitSettings, limitService } from "./limits.ts";
import { memoryService } from "./memory.ts";
import { swarmService } from "./swarm.ts";
import { taskService } from "./tasks.ts";

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
}

/** Told what happens; must not throw. */
export interface ServiceObserver extends EventObserver, CacheObserver, LimitObserver, IdentityObserver {}

export interface RunningServices extends Services {
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
	const health = healthService({ database, redis: { state: redis.state, cache: redis.cache } });
	const change = changer(database, publisherOf(cache, events));
	const unpublish = (workspace: string, key: string) =>
		cache.invalidate(publishedKey(workspace, key)).catch(problem("a published entry may be outdated"));
	const memory = memoryService(database, change, unpublish, problem("reads of memory entries were not counted"));
	return {
		swarm: swarmService(database, change),
		agents: agentService(database, change),
		tasks: taskService(database, change, { claimSilenceMs: settings.claimSilenceMs }),
		activities: activityService(database),
		memory,
		events,
		identity,
		cache,
		limits,
		health,
		async close() {
			for (const service of [events, identity, limits, health, channels]) service.close();
			await memory.close();
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

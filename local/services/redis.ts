/** Redis servers: a primary with a replica for the state, one alone for the cache. */
import { HOST } from "../place.ts";
import { askRedis, redisInfo } from "./ask.ts";
import { type Facts, plainService, type Service } from "./service.ts";

export interface RedisPlan {
	readonly name: string;
	readonly program: string;
	readonly port: number;
	/** For its configuration and its data. */
	readonly folder: string;
	readonly password: string;
	/** Users beside the default one. They have passwords. */
	readonly users: readonly RedisUser[];
	/** The primary that it begins as a replica of; null for a primary. Sentinel changes that later, in the file. */
	readonly replicaOf: { readonly name: string; readonly port: number } | null;
	/** Of redis.conf. */
	readonly settings: Readonly<Record<string, string>>;
}

/** What the state's servers have: nothing is evicted, and a killed process loses nothing that it acknowledged. */
export const STATE_SETTINGS = { appendonly: "yes", appendfsync: "everysec", "maxmemory-policy": "noeviction" } as const;

/** What the cache has: it may forget everything. */
export const CACHE_SETTINGS = { appendonly: "no", maxmemory: "64mb", "maxmemory-policy": "allkeys-lru" } as const;

/** Somebody beside the default user, by rules of `ACL SETUSER`. */
export interface RedisUser {
	readonly name: string;
	readonly rules: readonly string[];
}

export function redisService({ name, program, port, folder, password, users, replicaOf, settings }: RedisPlan): Service {
	const file = `${folder}/redis.conf`;
	const beginning = [`requirepass ${password}`, `masterauth ${password}`, ...(replicaOf ? [`replicaof ${HOST} ${replicaOf.port}`] : [])];
	const all = {
		bind: HOST,
		port: String(port),
		dir: folder,
		save: "",
		"repl-diskless-sync-delay": "0",
		"repl-ping-replica-period": "1",
		...settings,
	};
	return {
		...plainService,
		name,
		role: "redis",
		// After a failover it is the other way round: neither can wait for the other. Whether they are linked, the Sentinel's service asks.
		after: [],
		// A failover rewrites it, so that it is only begun here; what never changes is said on the command line, and no secret is.
		files: [{ path: file, text: `${beginning.join("\n")}\n`, once: true }],
		command: { program, args: [file, ...Object.entries(all).flatMap(([key, value]) => [`--${key}`, value])] },
		async ready() {
			if ((await redisInfo(port, password, "persistence")).loading !== "0") return false;
			// Not in the file: one that an earlier version has begun would go without them.
			for (const { name: user, rules } of users) await askRedis(port, password, "ACL", "SETUSER", user, "reset", ...rules);
			return true;
		},
		async inspect(): Promise<Facts> {
			const { role, master_link_status: link, connected_slaves: replicas } = await redisInfo(port, password, "replication");
			const { used_memory_human: memory } = await redisInfo(port, password, "memory");
			return role === "master"
				? { role: "primary", replicas: Number(replicas), memory: memory ?? null }
				: { role: "replica", link: link ?? null, memory: memory ?? null };
		},
	};
}

export interface SentinelPlan {
	readonly name: string;
	readonly program: string;
	readonly port: number;
	readonly folder: string;
	/** The group's name. */
	readonly group: string;
	/** Of the servers it watches: the first is the primary at the beginning. */
	readonly servers: readonly { readonly name: string; readonly port: number }[];
	readonly password: string;
}

/** One Sentinel, which gives a primary up after a second of silence. */
export function sentinelService({ name, program, port, folder, group, servers, password }: SentinelPlan): Service {
	const file = `${folder}/sentinel.conf`;
	const text = [
		`bind ${HOST}`,
		`port ${port}`,
		`dir ${folder}`,
		`sentinel monitor ${group} ${HOST} ${servers[0]?.port} 1`,
		`sentinel auth-pass ${group} ${password}`,
		`sentinel down-after-milliseconds ${group} 1000`,
		`sentinel failover-timeout ${group} 5000`,
	];
	return {
		...plainService,
		name,
		role: "sentinel",
		after: servers.map(({ name }) => name),
		files: [{ path: file, text: `${text.join("\n")}\n`, once: true }],
		command: { program, args: [file, "--sentinel"] },
		async ready() {
			const known = (await askRedis(port, null, "SENTINEL", "replicas", group)) as unknown[];
			const all = await Promise.all(servers.map((server) => redisInfo(server.port, password, "replication")));
			const linked = all.filter(({ role, master_link_status: link }) => role === "slave" && link === "up");
			return known.length === servers.length - 1 && linked.length === servers.length - 1;
		},
		async inspect() {
			const [, primary] = (await askRedis(port, null, "SENTINEL", "get-master-addr-by-name", group)) as string[];
			return { primary: servers.find((server) => server.port === Number(primary))?.name ?? `${primary}` };
		},
	};
}

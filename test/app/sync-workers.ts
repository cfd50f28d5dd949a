/** Workers with real stores and sockets, in one process: each has connections of its own, as if it were alone. */
import type { Role } from "../../app/model.ts";
import { createServices, type RunningServices } from "../../app/services/compose.ts";
import { connectRedis, type RedisSettings } from "../../app/stores/redis.ts";
import { startWorker, type TestWorker } from "../../app/ws/testing-worker.ts";
import type { Rig } from "./stores-rig.ts";

export interface SyncWorker extends TestWorker {
	readonly services: RunningServices;
	/** Its HTTP server, its sockets, its services; the database is the rig's. */
	close(): Promise<void>;
}

export function endpoint({ host, port }: { readonly host: string; readonly port: number }): RedisSettings {
	return { kind: "endpoint", host, port, tls: false, credentials: async () => null };
}

export async function startSyncWorker(
	rig: Rig,
	state: RedisSettings,
	changes: NonNullable<Parameters<typeof startWorker>[1]> = {},
): Promise<SyncWorker> {
	const services = createServices(
		{
			database: rig.worker().database,
			connect: (_group, purpose, overrides) => connectRedis(state, purpose, overrides),
			observe: {
				eventsMended: () => {},
				eventsRefilled: () => {},
				eventsLost: () => {},
				cacheAnswered: () => {},
				limitsShared: () => {},
				problem: () => {},
			},
		},
		{
			claimSilenceMs: 60_000,
			cache: { memoryBytes: 1_000_000, largestBytes: 100_000 },
			sessions: { idleMs: 60_000, longestMs: 600_000 },
			limits: { workers: 3 },
			terminals: null,
		},
	);
	const redis = connectRedis(state, "worker");
	const worker = await startWorker(services, { redis, ...changes });
	let closed = false;
	return {
		...worker,
		services,
		async close() {
			if (closed) return;
			closed = true;
			await worker.stop();
			await services.close();
			redis.disconnect();
		},
	};
}

/** A token that every worker knows. */
export async function issue(
	{ services }: SyncWorker,
	workspace: string,
	...roles: Role[]
): Promise<{ readonly token: string; readonly credentialId: string }> {
	return services.identity.issue({ subject: `of-${workspace}`, roles: ["member", ...roles], workspace, expiresAt: null });
}

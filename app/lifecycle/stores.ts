import type { Redis, RedisOptions } from "ioredis";
import type { WorkerConfig } from "../config.ts";
import { databaseObserver, type Observing, serviceObserver } from "../observe/observers.ts";
import { createServices, type RunningServices, type ServiceSettings } from "../services/compose.ts";
import { lsnConnection, redisLsnKeeper } from "../stores/lsn-keeper.ts";
import { connectDatabase, type Database } from "../stores/postgres.ts";
import { connectRedis } from "../stores/redis.ts";
import { databaseSettings, POSITION_TTL_MS, redisSettings } from "./part-settings.ts";

/** What a process of the server connects to, and the services on top of it. */
export interface Stores {
	readonly database: Database;
	readonly services: RunningServices;
	/** A connection of its own to the state Redis. */
	readonly redis: Redis;
	close(): Promise<void>;
}

/**
 * Everything that connects to something. Nothing waits for it.
 *
 * @param own what {@link Stores.redis} is for, and how it differs from others
 */
export function openStores(
	config: Pick<WorkerConfig, "redis" | "postgres" | "secretsDir" | "address" | "port">,
	observing: Observing,
	settings: ServiceSettings,
	own: { readonly purpose: string; readonly options?: Partial<RedisOptions> },
): Stores {
	const groups = { state: redisSettings(config, "state"), cache: redisSettings(config, "cache") };
	const positions = connectRedis(groups.state, "positions", lsnConnection);
	const redis = connectRedis(groups.state, own.purpose, own.options);
	const database = connectDatabase(databaseSettings(config), redisLsnKeeper(positions, POSITION_TTL_MS), databaseObserver(observing));
	const services = createServices(
		{
			database,
			connect: (group, purpose, overrides) => connectRedis(groups[group], purpose, overrides),
			observe: serviceObserver(observing),
		},
		settings,
	);
	const close = async () => {
		await services.close();
		await database.close();
		positions.disconnect();
		redis.disconnect();
	};
	return { database, services, redis, close };
}

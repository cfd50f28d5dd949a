import type { Redis } from "ioredis";
import type { HealthService } from "../ports.ts";
import type { Database } from "../stores/postgres.ts";

/** How often the dependencies are looked at, milliseconds. */
const LOOK_EVERY = 1_000;

/** Milliseconds after which a Redis that has not answered is down. */
const PATIENCE = 2_000;

export interface RunningHealthService extends HealthService {
	close(): void;
}

export interface HealthParts {
	readonly database: Pick<Database, "status">;
	/** A connection to each group. */
	readonly redis: Readonly<Record<"state" | "cache", Redis>>;
}

type Known = ReturnType<HealthService["dependencies"]>[string];

/**
 * `postgres`, `postgres-replicas` where there are any, `redis-state` and `redis-cache`. Replicas are down when none can be
 * read from.
 */
export function healthService(parts: HealthParts): RunningHealthService {
	return new Health(parts);
}

class Health implements RunningHealthService {
	readonly #parts: HealthParts;
	readonly #timer: NodeJS.Timeout;
	readonly #known = new Map<string, Known>();

	constructor(parts: HealthParts) {
		this.#parts = parts;
		this.#timer = setInterval(() => this.#look(), LOOK_EVERY).unref();
		for (const group of ["state", "cache"] as const) this.#note(`redis-${group}`, parts.redis[group].status === "ready");
		this.#look();
	}

	dependencies(): ReturnType<HealthService["dependencies"]> {
		this.#noteDatabase();
		return Object.fromEntries(this.#known);
	}

	close(): void {
		clearInterval(this.#timer);
	}

	#look(): void {
		this.#noteDatabase();
		for (const group of ["state", "cache"] as const) {
			void answers(this.#parts.redis[group]).then((up) => this.#note(`redis-${group}`, up));
		}
	}

	#noteDatabase(): void {
		const { primary, replicas } = this.#parts.database.status;
		this.#note("postgres", primary === "up");
		if (replicas.length === 0) return;
		const usable = replicas.filter((replica) => replica === "up").length;
		this.#note("postgres-replicas", usable > 0, `${usable} of ${replicas.length} can be read from`);
	}

	#note(name: string, up: boolean, detail?: string): void {
		const status = up ? "up" : "down";
		const before = this.#known.get(name);
		const since = before?.status === status ? before.since : Date.now();
		this.#known.set(name, detail === undefined ? { status, since } : { status, since, detail });
	}
}

/** A connection may look open long after its server is gone. */
async function answers(redis: Redis): Promise<boolean> {
	if (redis.status !== "ready") return false;
	const patience = Promise.withResolvers<false>();
	const timer = setTimeout(() => patience.resolve(false), PATIENCE).unref();
	const answer = redis.ping().then(
		() => true,
		() => false,
	);
	const up = await Promise.race([answer, patience.promise]);
	clearTimeout(timer);
	return up;
}

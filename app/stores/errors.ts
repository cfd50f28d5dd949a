import { ServiceError } from "../ports.ts";

/** What went wrong between this process and a server of PostgreSQL's, as far as it decides what to do next. */
export type Trouble =
	/** The server or the way to it is away; another server may do. */
	| "down"
	/** Every connection of the pool is in use. */
	| "busy"
	/** The role or its password is not accepted. */
	| "refused"
	/** The server is a replica, where the primary was meant: a failover is on its way. */
	| "readonly"
	/** Cancelled in favour of something else, and well worth another try: a deadlock, a replica's replay. */
	| "conflict"
	/** It took too long. */
	| "slow"
	/** The statement or its values. */
	| "statement";

/** Waiting for a connection of the pool, as pg-pool says it. */
const POOL_EXHAUSTED = "timeout exceeded when trying to connect";

/** https://www.postgresql.org/docs/17/errcodes-appendix.html */
export function troubleOf(error: unknown): Trouble {
	const { code, message } = error as { code?: unknown; message?: unknown };
	if (message === POOL_EXHAUSTED) return "busy";
	// Five characters are the server's own word, of which none begins with E, as Node's do (EPIPE); pg's errors have none.
	if (typeof code !== "string" || !/^[0-9A-DF-Z][0-9A-Z]{4}$/.test(code)) return "down";
	if (code === "28P01" || code === "28000") return "refused";
	// The second: what only a primary knows was asked of a server in recovery.
	if (code === "25006" || code === "55000") return "readonly";
	if (code === "40001" || code === "40P01") return "conflict";
	if (code === "57014" || code === "55P03" || code === "25P03") return "slow";
	if (code.startsWith("08") || code.startsWith("57P") || code.startsWith("53")) return "down";
	return "statement";
}

/** What PostgreSQL cannot hold: a NUL, as a character or in JSON; half of a surrogate pair; JSON too deep to read. */
const UNSTORABLE = new Set(["22021", "22P05", "22P02", "54001"]);

/**
 * The error that leaves the stores: expected trouble as a {@link ServiceError} whose message says nothing of the inside,
 * with the error as its cause; what is a mistake of ours stays as it is.
 */
export function outward(error: unknown): unknown {
	if (error instanceof ServiceError || !isDatabaseError(error)) return error;
	if (UNSTORABLE.has((error as { code: string }).code))
		return caused(new ServiceError("INVALID", "a value cannot be stored: NUL, half of a surrogate pair, or too deep"), error);
	const trouble = troubleOf(error);
	if (trouble === "statement") return error;
	return caused(new ServiceError("UNAVAILABLE", unavailable[trouble], 1), error);
}

const unavailable: Readonly<Record<Exclude<Trouble, "statement">, string>> = {
	down: "the database cannot be reached",
	refused: "the database cannot be reached",
	readonly: "the database is changing over",
	busy: "the database has too much to do",
	conflict: "the database has too much to do",
	slow: "the database took too long",
};

/** Whether the server can be of no use for now. */
export function isAway(error: unknown): boolean {
	if (!isDatabaseError(error)) return false;
	const trouble = troubleOf(error);
	return trouble === "down" || trouble === "refused" || trouble === "readonly";
}

/** Marks an error as one of the database driver's, so that a mistake in a service is not taken for a server that is away. */
export function markDatabaseError(error: unknown): void {
	if (error instanceof Error) databaseErrors.add(error);
}

export function isDatabaseError(error: unknown): boolean {
	return error instanceof Error && databaseErrors.has(error);
}

const databaseErrors = new WeakSet<Error>();

function caused(error: ServiceError, cause: unknown): ServiceError {
	error.cause = cause;
	return error;
}

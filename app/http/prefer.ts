import type { FastifyReply, FastifyRequest } from "fastify";

/** Seconds a request is kept waiting at most: below the time after which a client or a balancer gives up. */
const MOST_SECONDS = 25;

/**
 * How long somebody wants to wait, by `Prefer: wait=SECONDS` or `Prefer: respond-async`; what is heeded is said in the answer.
 * https://www.rfc-editor.org/rfc/rfc7240
 *
 * @returns milliseconds
 */
export function patienceOf(request: FastifyRequest, reply: FastifyReply): number {
	const { prefer = "" } = request.raw.headers;
	const preferences = String(prefer)
		.split(",")
		.map((each) => (each.split(";", 1)[0] as string).trim().toLowerCase());
	const asked = preferences.map((each) => /^wait *= *"?(\d{1,6})"?$/.exec(each)?.[1]).find((each) => each !== undefined);
	const isAsync = preferences.includes("respond-async");
	if (asked === undefined && !isAsync) return MOST_SECONDS * 1_000;
	const seconds = Math.min(MOST_SECONDS, Number(asked ?? 0));
	const applied = [...(isAsync ? ["respond-async"] : []), ...(asked === undefined ? [] : [`wait=${seconds}`])];
	reply.header("preference-applied", applied.join(", "));
	return seconds * 1_000;
}

/** Aborted when the client has gone, or may not wait any more: it gets the answer that there is by then. */
export function patienceEnds(reply: FastifyReply, over: AbortSignal): AbortSignal {
	const gone = new AbortController();
	// An error is made for whoever listens: not where the answer has been given.
	reply.raw.once("close", () => reply.raw.writableFinished || gone.abort());
	return AbortSignal.any([gone.signal, over]);
}

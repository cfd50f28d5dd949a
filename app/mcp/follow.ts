import { paths } from "../contract.ts";
import type { EventStream } from "../http/event-stream.ts";
import type { Waiter } from "../http/waiting.ts";
import type { Job } from "../model.ts";
import { type JobListener, ServiceError } from "../ports.ts";
import { isId, type RequestId } from "./protocol.ts";
import { CALL_MS } from "./tool-call.ts";

/** Between two signs of life of a call without news, milliseconds, and the progress that it then seems to make. */
const SIGN_MS = 10_000;
const LEAST_PROGRESS = 0.001;

/** What a stream of Streamable HTTP is about; its events' ids say it, so that any worker can go on with it. */
export interface Place {
	readonly jobId: string;
	readonly requestId: RequestId;
	readonly progressToken: RequestId | null;
}

export interface Wait {
	readonly ms: number;
	readonly signal: AbortSignal;
	readonly listener: JobListener;
}

/**
 * Tells of a job's progress until it is over, nobody listens, or nobody may wait any more.
 *
 * @param run waits for the job
 * @param place null until there is a job
 * @param told how far the job was when it was last said
 */
export async function follow(
	run: (wait: Wait) => Promise<Job>,
	stream: Pick<EventStream, "send" | "closed">,
	waiter: Waiter,
	place: () => Place | null,
	told = -1,
): Promise<Job> {
	let last = told;
	let said: string | null = null;
	const tell = (percent: number) => {
		const at = place();
		// It must rise.
		if (at === null || at.progressToken === null || percent <= last) return;
		last = percent;
		const params = { progressToken: at.progressToken, progress: percent, total: 100, ...(said === null ? {} : { message: said }) };
		stream.send({ id: idOf(at), data: { jsonrpc: "2.0", method: "notifications/progress", params } });
	};
	const progress = (percent: number, message: string | null) => {
		said = message ?? said;
		tell(percent);
	};
	// Many clients give up on who says nothing for a minute.
	const sign = setInterval(() => tell(Math.max(0, last) + LEAST_PROGRESS), SIGN_MS);
	try {
		return await run({ ms: CALL_MS, signal: AbortSignal.any([stream.closed, waiter.over]), listener: { progress } });
	} finally {
		clearInterval(sign);
	}
}

export function idOf({ jobId, requestId, progressToken }: Place): string {
	return Buffer.from(JSON.stringify([jobId, requestId, progressToken])).toString("base64url");
}

/** @throws ServiceError INVALID for an id that is none of ours */
export function placeOf(id: string): Place {
	try {
		const [jobId, requestId, progressToken] = JSON.parse(Buffer.from(id, "base64url").toString());
		if (typeof jobId === "string" && isId(requestId) && (progressToken === null || isId(progressToken))) {
			return { jobId, requestId, progressToken };
		}
	} catch {
		// None of ours.
	}
	throw new ServiceError("INVALID", `Last-Event-ID is not one that ${paths.mcp} has given`);
}

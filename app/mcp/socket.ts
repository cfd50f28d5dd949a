import { ClientSocket } from "../ws/client-socket.ts";
import type { RequestId } from "./protocol.ts";

/** A call whose tool has not ended. */
export interface RunningCall {
	/** Null until the job is committed. */
	jobId: string | null;
	/** Whoever made it does not want it any more, and gets no answer. */
	cancelled: boolean;
	/** Goes on without its caller. */
	readonly detached: boolean;
	/** Ends the waiting for it. */
	readonly waiting: AbortController;
}

/** A socket that speaks MCP. */
export class McpSocket extends ClientSocket {
	connectionId = "";
	initialised = false;
	/** Its worker goes away: it is closed when its calls are over. */
	leaving = false;
	readonly calls = new Map<RequestId, RunningCall>();
}

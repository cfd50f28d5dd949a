/**
 * What workers and terminal hosts tell each other. Positions count the UTF-16 units (a JavaScript string's length) of all
 * that a terminal has written since it began.
 */

/** Why a terminal is over. */
export type EndReason =
	/** Its shell has ended. */
	| "exited"
	/** Its owner closed it. */
	| "closed"
	/** Nobody was connected to it for too long. */
	| "detached"
	/** Nothing went in or out for too long. */
	| "idle"
	/** It was open for as long as one may be. */
	| "lifetime"
	/** Its host was told to stop. */
	| "host-stopped"
	/** Nothing is heard of its host any more, or the word of its end was lost: said by workers. */
	| "host-lost";

/** How a terminal is over. Both are null where its host is lost. */
export interface TerminalEnd {
	readonly exitCode: number | null;
	/** The signal's number; 0 for none. */
	readonly signal: number | null;
	readonly reason: EndReason;
}

export interface TerminalSize {
	readonly cols: number;
	readonly rows: number;
}

/** A terminal as its owner is told of it. */
export interface TerminalDescription extends TerminalSize {
	readonly sessionId: string;
	readonly cwd: string;
	readonly shell: string;
	/** Milliseconds since 1970. */
	readonly createdAt: number;
}

/** A connection of one socket to one terminal. A terminal may have several, through different workers. */
interface Attachment {
	/** Chosen by the worker by chance. */
	readonly attachment: string;
	/** Key of the mailbox that answers and output go to. */
	readonly worker: string;
}

export type ToHost =
	| ({
			readonly kind: "create";
			readonly sessionId: string;
			readonly owner: string;
			/** Who it is, for the audit. */
			readonly who: string;
			/** Null for the shell's home. */
			readonly cwd: string | null;
	  } & TerminalSize &
			Attachment)
	/** `offset`: what is there already; null for all that is kept. */
	| ({ readonly kind: "attach"; readonly sessionId: string; readonly owner: string; readonly offset: number | null } & Attachment)
	/**
	 * All up to `offset` has reached the client: there is room for more. Said again every few seconds, as a sign of life.
	 * `again`: what was sent after it is lost. A host that has given the attachment up takes it up again there.
	 */
	| ({
			readonly kind: "follow";
			readonly sessionId: string;
			readonly owner: string;
			readonly offset: number;
			readonly again: boolean;
	  } & Attachment)
	| { readonly kind: "detach"; readonly sessionId: string; readonly attachment: string }
	| { readonly kind: "input"; readonly sessionId: string; readonly owner: string; readonly data: string }
	| ({ readonly kind: "resize"; readonly sessionId: string; readonly owner: string } & TerminalSize)
	| { readonly kind: "close"; readonly sessionId: string; readonly owner: string };

export type ToWorker = { readonly attachment: string } & (
	| { readonly kind: "attached"; readonly terminal: TerminalDescription; readonly offset: number }
	/** There is no such terminal, or it is somebody else's, or there can be no more. */
	| { readonly kind: "refused"; readonly why: "absent" | "full" }
	/** `offset`: where the data begins. What lies between the end of the last one and this, `skipped`, is not kept any more. */
	| { readonly kind: "output"; readonly offset: number; readonly data: string; readonly skipped: number }
	| ({ readonly kind: "end" } & TerminalEnd)
);

/** Units that may be on their way to a client that has not read them yet: enough for 500 KB/s at a round trip of 100 ms. */
export const WINDOW = 64 * 1_024;

/** Units of one message at most. */
export const PIECE = 16 * 1_024;

/** Milliseconds between two signs of life of an attachment, and after which a silent one is given up. */
export const following = { everyMs: 5_000, silentMs: 17_000 } as const;

export interface CutOrder {
	readonly kind: "sync" | "socket.io";
	readonly url: string;
	readonly headers: Readonly<Record<string, string>>;
	readonly clients: number;
	readonly cuts: number;
	/** Without a connection, and with one before the next cut, milliseconds. */
	readonly awayMs: number;
	readonly betweenMs: number;
	/** After the last one is back, milliseconds. */
	readonly settleMs: number;
}

export interface CutOutcome {
	/** Of each client, in the order in which they came. */
	readonly numbers: readonly (readonly number[])[];
	/** Times that a client was told what is not to be had. */
	readonly gaps: number;
	/** Attempts to come back that failed. */
	readonly failed: readonly string[];
}

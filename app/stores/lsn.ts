/**
 * Positions in PostgreSQL's write-ahead log, as numbers. What a principal must be able to read is everything up to one.
 */

/** Later than any position: nothing but the primary will do. */
export const AFTER_EVERYTHING = 0xffff_ffff_ffff_ffffn;

/** `16/B374D848` as a number. */
export function parseLsn(text: string): bigint {
	const [high, low] = text.split("/");
	return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** Sixteen hexadecimal digits, so that text sorts as the numbers do. */
export function sortableLsn(lsn: bigint): string {
	return lsn.toString(16).padStart(16, "0");
}

/** What {@link sortableLsn} wrote. */
export function fromSortableLsn(text: string): bigint {
	return BigInt(`0x${text}`);
}

/** Where it is kept up to which position a principal has written, the same for every worker. */
export interface LsnKeeper {
	/**
	 * Notes what the principal has written; a position before the one kept changes nothing. Kept for longer than a
	 * replica may lag and still be read.
	 * @throws where it cannot be noted for the other workers
	 */
	keep(principalId: string, lsn: bigint): Promise<void>;
	/**
	 * The position kept for the principal; null where it has written nothing of late.
	 * @throws where nobody knows
	 */
	kept(principalId: string): Promise<bigint | null>;
	/**
	 * Since when the keeper has been reachable without a break, as `performance.now()`; null while it is not. What other
	 * workers kept before may be lost, as a failover of Redis loses what its replica had not got.
	 */
	readonly reachableSince: number | null;
}

/** For a database without replicas. */
export const noKeeper: LsnKeeper = {
	keep: async () => {},
	kept: async () => null,
	reachableSince: 0,
};

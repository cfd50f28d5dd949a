/** Where a TCP service is reached. `H` is a plain string, or an engine's Input where the host is not known yet. */
export interface Endpoint<H = string> {
	readonly host: H;
	readonly port: number;
}

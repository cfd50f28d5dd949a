/** Where a command writes. */
export interface Output {
	write(text: string): unknown;
	readonly isTTY?: boolean;
}

/** Everything that a command knows of its surroundings. */
export interface Io {
	readonly stdout: Output;
	readonly stderr: Output;
	/** Where relative paths start. */
	readonly cwd: string;
	readonly env: Readonly<Record<string, string | undefined>>;
}

import type { Io, Output } from "../io.ts";

const codes = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39], alarm: [7, 27] } as const;

/** How text is set off: colours on a terminal, nothing elsewhere. */
export type Paint = { readonly [K in keyof typeof codes]: (text: string) => string };

const entries = Object.entries(codes) as [keyof typeof codes, readonly [number, number]][];

export const plain = Object.fromEntries(entries.map(([style]) => [style, (text: string) => text])) as Paint;

const coloured = Object.fromEntries(
	entries.map(([style, [on, off]]) => [style, (text: string) => (text ? `\u001b[${on}m${text}\u001b[${off}m` : "")]),
) as Paint;

/** Colours where a person reads, unless they asked for none. https://no-color.org */
export function paintFor(output: Output, { env }: Io): Paint {
	return output.isTTY && !env.NO_COLOR && env.TERM !== "dumb" ? coloured : plain;
}

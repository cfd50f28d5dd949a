/** Bars as SVG: no script, no font of its own, readable on light and dark pages. */
import { type Chart, typical } from "../kit/result.ts";
import { digits } from "./report.ts";

const WIDTH = 760;
const LABELS = 220;
const FIGURES = 90;
const ROW = 30;
const TOP = 44;

export function barsOf({ title, unit, bars }: Chart): string {
	const most = Math.max(...bars.map(({ value }) => (typeof value === "number" ? value : value.max)).filter(Number.isFinite));
	const room = WIDTH - LABELS - FIGURES;
	const x = (value: number) => LABELS + (Number.isFinite(value) && most > 0 ? (value / most) * room : 0);
	const rows = bars.map(({ label, value, ours }, index) => {
		const y = TOP + index * ROW;
		const middle = y + ROW / 2;
		const range =
			typeof value === "number" || value.runs < 2
				? ""
				: `<path class="range" d="M${px(x(value.min))} ${middle}H${px(x(value.max))}M${px(x(value.min))} ${middle - 4}v8M${px(x(value.max))} ${middle - 4}v8"/>`;
		return [
			`<text x="${LABELS - 10}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>`,
			`<rect class="${ours ? "ours" : "other"}" x="${LABELS}" y="${y + 5}" width="${px(Math.max(1, x(typical(value)) - LABELS))}" height="${ROW - 10}" rx="2"/>`,
			range,
			`<text x="${WIDTH - FIGURES + 10}" y="${middle + 4}">${digits(typical(value))}</text>`,
		].join("");
	});
	const height = TOP + bars.length * ROW + 10;
	return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">
<style>
svg{font:13px system-ui,sans-serif;background:#fff}text{fill:#222}.title{font-weight:600;font-size:14px}.ours{fill:#2563eb}.other{fill:#9ca3af}.range{stroke:#111;fill:none}
@media (prefers-color-scheme:dark){svg{background:#0d1117}text{fill:#e6edf3}.ours{fill:#4f8cff}.other{fill:#6e7681}.range{stroke:#e6edf3}}
</style>
<text class="title" x="10" y="24">${escaped(title)} (${escaped(unit)})</text>
${rows.join("\n")}
</svg>
`;
}

function px(value: number): string {
	return value.toFixed(1);
}

function escaped(text: string): string {
	return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

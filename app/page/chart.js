/** Measured round trips, as a chart and as figures. */

/** Seconds shown. */
export const SPAN_SECONDS = 120;

/** Pixels: of the drawing, and of what is around it for the labels. */
const HEIGHT = 150;
const margin = { top: 10, right: 6, bottom: 24, left: 48 };

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {{readonly at: number, readonly ms: number | null}} Sample `at` in milliseconds, of `performance.now()`; null where no answer came
 */

/** Measurements of one kind, the last {@link SPAN_SECONDS} of them. */
export class Series {
	/** @type {Sample[]} */
	samples = [];

	/**
	 * @param {number | null} milliseconds
	 * @param {number} at
	 */
	add(milliseconds, at) {
		this.samples.push({ at, ms: milliseconds });
		while (this.samples.length > 0 && at - /** @type {Sample} */ (this.samples[0]).at > SPAN_SECONDS * 1_000) this.samples.shift();
	}

	/** Null where nothing was measured. */
	get figures() {
		const known = this.samples.flatMap(({ ms }) => (ms === null ? [] : [ms]));
		const last = known.at(-1);
		if (last === undefined) return null;
		const sorted = known.toSorted((one, other) => one - other);
		/** @param {number} share */
		const quantile = (share) => /** @type {number} */ (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
		return { last, median: quantile(0.5), p95: quantile(0.95), lost: this.samples.length - known.length };
	}
}

/**
 * The lines of a series, broken where an answer did not come.
 * @param {readonly Sample[]} samples
 * @param {number} now
 * @param {number} top milliseconds at the upper edge
 * @param {number} width
 */
export function pathOf(samples, now, top, width) {
	let path = "";
	let drawing = false;
	for (const { at, ms } of samples) {
		if (ms === null) {
			drawing = false;
			continue;
		}
		const x = width * (1 - (now - at) / (SPAN_SECONDS * 1_000));
		const y = HEIGHT * (1 - Math.min(ms, top) / top);
		path += `${drawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
		drawing = true;
	}
	return path;
}

/**
 * The next of 1, 2, 5, 10, 20, ... above a figure: the axis does not jump about.
 * @param {number} most
 */
export function topOf(most) {
	let top = 5;
	for (let step = 0; top < most; step += 1) top *= step % 3 === 2 ? 2.5 : 2;
	return top;
}

/**
 * What stands at the middle of the axis and at its upper edge: seconds from one on, as there is room for six characters.
 * @param {number} top milliseconds
 */
export function labelsOf(top) {
	return top < 1_000 ? [String(top / 2), `${top} ms`] : [String(top / 2_000), `${top / 1_000} s`];
}

/** Draws any number of series into an SVG, as wide as there is room. */
export class Chart {
	#top = 0;
	#width = 0;
	/** @type {SVGSVGElement} */
	#svg;
	/** @type {ReadonlyMap<string, Series>} */
	#series;
	/** @type {Map<string, SVGPathElement>} */
	#paths = new Map();
	/** @type {SVGGElement} */
	#grid;

	/**
	 * @param {SVGSVGElement} svg
	 * @param {ReadonlyMap<string, Series>} series by the class of its line
	 */
	constructor(svg, series) {
		this.#svg = svg;
		this.#series = series;
		this.#grid = svg.appendChild(document.createElementNS(SVG, "g"));
		for (const name of series.keys()) {
			const path = svg.appendChild(document.createElementNS(SVG, "path"));
			path.setAttribute("class", `line ${name}`);
			this.#paths.set(name, path);
		}
		new ResizeObserver(() => this.draw(performance.now())).observe(svg);
	}

	/** @param {number} now */
	draw(now) {
		const width = this.#svg.clientWidth - margin.left - margin.right;
		if (width <= 0) return;
		const all = [...this.#series.values()].flatMap(({ samples }) => samples.map(({ ms }) => ms ?? 0));
		const top = topOf(Math.max(0, ...all));
		if (top !== this.#top || width !== this.#width) this.#drawGrid(top, width);
		for (const [name, { samples }] of this.#series) this.#paths.get(name)?.setAttribute("d", pathOf(samples, now, top, width));
	}

	/** @param {string} text */
	describe(text) {
		this.#svg.setAttribute("aria-label", text);
	}

	/**
	 * @param {number} top
	 * @param {number} width
	 */
	#drawGrid(top, width) {
		this.#top = top;
		this.#width = width;
		const { left, right, bottom } = margin;
		this.#svg.setAttribute("viewBox", `${-left} ${-margin.top} ${width + left + right} ${HEIGHT + margin.top + bottom}`);
		this.#grid.replaceChildren();
		for (const [index, text] of ["0", ...labelsOf(top)].entries()) {
			const y = HEIGHT * (1 - index / 2);
			const line = this.#grid.appendChild(document.createElementNS(SVG, "line"));
			for (const [name, value] of Object.entries({ x1: 0, x2: width, y1: y, y2: y })) line.setAttribute(name, String(value));
			this.#label(-8, y + 4, text, "end");
		}
		this.#label(0, HEIGHT + 18, `${SPAN_SECONDS} s ago`, "start");
		this.#label(width / 2, HEIGHT + 18, `${SPAN_SECONDS / 2} s`, "middle");
		this.#label(width, HEIGHT + 18, "now", "end");
	}

	/**
	 * @param {number} x
	 * @param {number} y
	 * @param {string} text
	 * @param {string} anchor
	 */
	#label(x, y, text, anchor) {
		const label = this.#grid.appendChild(document.createElementNS(SVG, "text"));
		for (const [name, value] of Object.entries({ x, y, "text-anchor": anchor })) label.setAttribute(name, String(value));
		label.textContent = text;
	}
}

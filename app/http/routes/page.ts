import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { z } from "zod";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { keptBody, sendKept } from "../serve.ts";

const folder = path.join(import.meta.dirname, "../../page");

/** Files of packages, for the terminal. */
const { resolve } = createRequire(import.meta.url);
const libraries: Readonly<Record<string, string>> = {
	"/page/xterm.css": resolve("@xterm/xterm/css/xterm.css"),
	"/page/xterm.js": resolve("@xterm/xterm/lib/xterm.mjs"),
	"/page/xterm-fit.js": resolve("@xterm/addon-fit/lib/addon-fit.mjs"),
	"/page/socket.io.js": path.join(path.dirname(resolve("socket.io")), "../client-dist/socket.io.esm.min.js"),
};

/** The files of the page, by their paths: below its folder, or absolute. */
export const pageFiles: Readonly<Record<string, string>> = {
	"/": "index.html",
	...Object.fromEntries(
		["page.css", "icon.svg", "page.js", "api.js", "chart.js", "state.js", "sync.js", "terminal.js", "view.js"].map((file) => [
			`/page/${file}`,
			file,
		]),
	),
	...libraries,
};

const types: Readonly<Record<string, string>> = {
	".html": "text/html; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
};

/** The page at `/`: the same for everybody. What it shows it asks the API for. */
export function pageEndpoints(): Endpoint[] {
	return Object.entries(pageFiles).map(([url, file]) => {
		const kept = keptBody(readFileSync(path.resolve(folder, file)));
		const type = types[path.extname(url === "/" ? file : url)] as string;
		return endpoint({
			method: "GET",
			path: url,
			kind: "page",
			tag: "page",
			summary: `The page's ${path.basename(file)}.`,
			answer: z.unknown(),
			handle: ({ request, reply }) => sendKept(kept, request, reply, type),
		});
	});
}

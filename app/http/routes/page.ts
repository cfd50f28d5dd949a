import { readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { keptBody, sendKept } from "../serve.ts";

const folder = path.join(import.meta.dirname, "../../page");

/** The files of the page, by their paths. */
export const pageFiles: Readonly<Record<string, string>> = {
	"/": "index.html",
	...Object.fromEntries(
		["page.css", "icon.svg", "page.js", "api.js", "chart.js", "state.js", "sync.js", "view.js"].map((file) => [`/page/${file}`, file]),
	),
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
		const kept = keptBody(readFileSync(path.join(folder, file)));
		const type = types[path.extname(file)] as string;
		return endpoint({
			method: "GET",
			path: url,
			kind: "page",
			tag: "page",
			summary: `The page's ${file}.`,
			answer: z.unknown(),
			handle: ({ request, reply }) => sendKept(kept, request, reply, type),
		});
	});
}

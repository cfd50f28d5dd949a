import { z } from "zod";
import type { CachedBody } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { openApiDocument } from "../openapi.ts";
import { keptBody, sendKept } from "../serve.ts";

/** What the server says of itself: the same for everybody, and ready as bytes. */
export function documentEndpoints(documented: readonly Endpoint[], version: string): Endpoint[] {
	const endpoints: Endpoint[] = [
		document("/openapi.json", "This API as an OpenAPI document.", z.record(z.string(), z.unknown()), () => openApiDocument(all(), version)),
		document(
			"/api/docs",
			"This API as a list.",
			z.object({
				title: z.string(),
				version: z.string(),
				description: z.string(),
				endpoints: z.record(z.string(), z.record(z.string(), z.string())),
			}),
			() => ({
				title: "Agentic Flow API",
				version,
				description: "The complete description is at /openapi.json",
				endpoints: listOf(all()),
			}),
		),
	];
	const all = () => [...documented, ...endpoints];
	return endpoints;
}

function document(path: string, summary: string, answer: z.ZodType, write: () => object): Endpoint {
	let kept: CachedBody | undefined;
	return endpoint({
		method: "GET",
		path,
		kind: "public",
		tag: "documents",
		summary,
		answer,
		handle: ({ request, reply }) => {
			kept ??= keptBody(Buffer.from(JSON.stringify(write())));
			return sendKept(kept, request, reply);
		},
	});
}

function listOf(endpoints: readonly Endpoint[]): Record<string, Record<string, string>> {
	const groups: Record<string, Record<string, string>> = {};
	for (const { tag, method, path, summary } of endpoints) {
		groups[tag] = { ...groups[tag], [`${method} ${path}`]: summary };
	}
	return groups;
}

import { publishedKey, ServiceError, type Services } from "../../ports.ts";
import { type Endpoint, endpoint } from "../endpoint.ts";
import { PublishedEntry, PublishedParams } from "../schemas.ts";
import { sendKept } from "../serve.ts";
import { iso, storedValue } from "../views.ts";

/**
 * Milliseconds for which an entry is served without asking, and then while it is read anew. A change ends both at once, and an
 * entry that expires is kept no longer: this is for changes of which nobody says a word, as those of an import, or of a writer
 * that died right after its commit.
 */
export const PUBLISHED_KEPT_MS = { fresh: 50_000, stale: 10_000 } as const;

export const PUBLISHED_PATH = "/api/public/:workspace/*";

/** A path in which every character stands for itself, and no slash in the key. */
const PLAIN_PATH = /^\/api\/public\/([\w-]+)\/([\w-]+)$/;

/** The cache's name for what is published at a path; null where the path has to be taken apart by the rules of URLs. */
export function keptPublished(path: string): string | null {
	const [, workspace, key] = PLAIN_PATH.exec(path) ?? [];
	return workspace === undefined || key === undefined ? null : publishedKey(workspace, key);
}

/** What a workspace has stored for everybody: nobody is asked who he is, and the load balancer keeps it for a second. */
export function publishedEndpoints({ cache, memory }: Services): Endpoint[] {
	return [
		endpoint({
			method: "GET",
			path: PUBLISHED_PATH,
			kind: "public",
			tag: "published",
			summary:
				"An entry that a workspace has published: stored in the namespace `published` of the system `swarm`. A change is seen after a second, and so is that it has expired; what was imported, after a minute.",
			params: PublishedParams,
			answer: PublishedEntry,
			handle: async ({ params, request, reply }) => {
				const { workspace, "*": key } = params;
				let expiresAt: number | null = null;
				const load = async () => {
					const entry = await memory.published(workspace, key);
					expiresAt = entry?.expiresAt ?? null;
					return entry && { workspace, key, value: storedValue(entry.value), updated_at: iso(entry.updatedAt) };
				};
				const { fresh, stale } = PUBLISHED_KEPT_MS;
				const kept = await cache.get(publishedKey(workspace, key), fresh, stale, load, () => expiresAt);
				if (kept.body.equals(NOTHING)) throw new ServiceError("NOT_FOUND", "Nothing is published there");
				return sendKept(kept, request, reply);
			},
		}),
	];
}

/** That there is nothing is kept as well. */
const NOTHING = Buffer.from("null");

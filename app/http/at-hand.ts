import { isAscii } from "node:buffer";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import type { Principal } from "../model.ts";
import type { CachedBody, CacheService } from "../ports.ts";
import type { Authentication } from "./authenticate.ts";
import { type Edge, HSTS, standingHeaders } from "./edge.ts";
import type { Endpoint } from "./endpoint.ts";
import { keptPublished, PUBLISHED_KEPT_MS, PUBLISHED_PATH } from "./routes/published.ts";
import { JSON_TYPE, keptList, LIST_KEPT_MS } from "./serve.ts";
import type { HttpObserver } from "./settings.ts";

export interface AtHandParts {
	readonly cache: CacheService;
	readonly authentication: Authentication;
	readonly edge: Edge;
	readonly observe: HttpObserver;
}

/** Something that may be at hand. */
interface Wanted {
	readonly endpoint: Pick<Endpoint, "path" | "kind" | "waits">;
	readonly keptMs: { readonly fresh: number; readonly stale: number };
	/** The cache's name for it; of a list, the last part of it. */
	readonly name: string;
}

interface Arrival {
	readonly request: IncomingMessage;
	readonly response: ServerResponse;
	readonly wanted: Wanted;
	/** As `performance.now()`. */
	readonly at: number;
}

/** An answer as Node takes it with the least of its work. */
interface Ready {
	readonly headers: string[];
	readonly body: string | Buffer;
}

/**
 * The short way of what is asked for most: a list or a published entry that this worker has in its memory, asked for plainly
 * by somebody it knows. It is answered without the framework, which takes more of the processor than all the rest of it.
 * Whatever is not so simple, or is to be refused, goes the whole way as if this were not there, and both answer alike.
 */
export class AtHand {
	readonly #parts: AtHandParts;
	readonly #lists: ReadonlyMap<string, Wanted>;
	readonly #published: Endpoint | undefined;
	readonly #ready = new WeakMap<CachedBody, Ready>();
	/** The cache's names for the lists of a principal, which is the same object for as long as it is known. */
	readonly #names = new WeakMap<Principal, Map<string, string>>();
	#arrived: Arrival[] = [];

	constructor(endpoints: readonly Endpoint[], parts: AtHandParts) {
		this.#parts = parts;
		this.#lists = new Map(
			endpoints
				.filter(({ kind }) => kind === "list")
				.map((endpoint) => [
					endpoint.path,
					{ endpoint, keptMs: LIST_KEPT_MS, name: endpoint.keptAs(endpoint.query === null ? undefined : endpoint.query.parse({})) },
				]),
		);
		this.#published = endpoints.find(({ path }) => path === PUBLISHED_PATH);
	}

	/** @param wholeWay takes all others */
	listener(wholeWay: RequestListener): RequestListener {
		const answerAll = () => {
			const arrived = this.#arrived;
			this.#arrived = [];
			for (const arrival of arrived) if (!this.#answer(arrival)) wholeWay(arrival.request, arrival.response);
		};
		return (request, response) => {
			const wanted = isPlain(request) ? this.#wanted(request.url ?? "") : null;
			if (wanted === null) return void wholeWay(request, response);
			// A change that was announced before this request came in has arrived by the end of this turn of the event loop.
			if (this.#arrived.length === 0) setImmediate(answerAll);
			this.#arrived.push({ request, response, wanted, at: performance.now() });
		};
	}

	#wanted(url: string): Wanted | null {
		const list = this.#lists.get(url);
		if (list !== undefined || this.#published === undefined) return list ?? null;
		const name = keptPublished(url);
		return name === null ? null : { endpoint: this.#published, keptMs: PUBLISHED_KEPT_MS, name };
	}

	/** False where it cannot. */
	#answer({ request, response, wanted, at }: Arrival): boolean {
		const { cache, edge, observe } = this.#parts;
		const { endpoint, keptMs } = wanted;
		const principal = endpoint.kind === "list" ? this.#parts.authentication.known(request) : null;
		if (principal === null && endpoint.kind === "list") return false;
		const kept = cache.atHand(principal === null ? wanted.name : this.#listOf(principal, wanted.name), keptMs.fresh, keptMs.stale);
		if (kept === null || kept.body.length === NOTHING) return false;
		const known = request.headers["if-none-match"];
		if (known !== undefined && known !== kept.etag) return false;
		if (observe.isTraced?.(request) || !edge.admits(endpoint, request, principal)) return false;
		const status = known === undefined ? 200 : 304;
		const ready = this.#readied(kept, endpoint);
		const headers = edge.pinsHttps(request) ? ["strict-transport-security", HSTS, ...ready.headers] : ready.headers;
		if (status === 200) response.writeHead(200, headers).end(ready.body, "latin1");
		else response.writeHead(304, headers.slice(0, -CONTENT)).end();
		observe.answered(request, endpoint.path, status, (performance.now() - at) / 1_000, endpoint.waits);
		return true;
	}

	#listOf(principal: Principal, list: string): string {
		let names = this.#names.get(principal);
		if (names === undefined) {
			names = new Map();
			this.#names.set(principal, names);
		}
		let name = names.get(list);
		if (name === undefined) {
			name = keptList(principal, list);
			names.set(list, name);
		}
		return name;
	}

	#readied(kept: CachedBody, { kind }: Pick<Endpoint, "kind">): Ready {
		let ready = this.#ready.get(kept);
		if (ready === undefined) {
			const { body, etag } = kept;
			const headers = [
				...Object.entries(standingHeaders[kind]).flat(),
				...["etag", etag],
				...["content-type", JSON_TYPE, "content-length", String(body.length)],
			];
			ready = { headers, body: body.length <= MOST_TEXT && isAscii(body) ? body.toString("latin1") : body };
			this.#ready.set(kept, ready);
		}
		return ready;
	}
}

/** Bytes of a text that Node writes together with the headers without allocating: it has 16 KiB on its stack for both. */
const MOST_TEXT = 12 * 1_024;

/** What headers of a content take up in a list of names and values, at its end. */
const CONTENT = 4;

/** Bytes of `null`, which is kept where nothing is published: the whole way says so. */
const NOTHING = 4;

/** Whether nothing in it asks for more than the answer. A page of another origin, and who traces, is told more. */
function isPlain({ method, headers }: IncomingMessage): boolean {
	return (
		method === "GET" &&
		headers.origin === undefined &&
		headers.traceparent === undefined &&
		headers["content-length"] === undefined &&
		headers["transfer-encoding"] === undefined
	);
}

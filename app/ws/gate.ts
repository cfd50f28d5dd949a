import type { IncomingMessage } from "node:http";
import type { Principal } from "../model.ts";
import { ServiceError } from "../ports.ts";
import { Tally, TokenBucket } from "./admission.ts";
import type { Credentials } from "./credentials.ts";
import type { RefusalReason, SocketObserver, SocketSettings } from "./settings.ts";

/** Why a connection does not come to be, as HTTP says it. */
export interface Refusal {
	readonly reason: RefusalReason;
	readonly status: number;
	readonly message: string;
	readonly retryAfterSeconds?: number;
}

/** A connection's place among those of its address and its principal. */
export interface Place {
	readonly address: string;
	/** The principal it is counted to; null before it is known. */
	owner: string | null;
	left: boolean;
}

/** Decides who may open a connection to this worker, whatever it will speak. */
export class Gate {
	/** True from the beginning of the drain: nobody comes in any more. */
	closing = false;
	readonly #credentials: Credentials;
	readonly #settings: SocketSettings;
	readonly #observe: SocketObserver;
	readonly #bucket: TokenBucket;
	readonly #addresses: Tally;
	readonly #principals: Tally;

	constructor(credentials: Credentials, settings: SocketSettings, observe: SocketObserver) {
		this.#credentials = credentials;
		this.#settings = settings;
		this.#observe = observe;
		this.#bucket = new TokenBucket(settings.limits.admission, performance.now());
		this.#addresses = new Tally(settings.limits.connectionsPerAddress);
		this.#principals = new Tally(settings.limits.connectionsPerPrincipal);
	}

	/** What every request must be, those of an established session as well; null for one that is. */
	inspect(request: IncomingMessage): Refusal | null {
		const { host, origin } = request.headers;
		const { origins } = this.#settings;
		if (!origins.isOurs(host)) return this.refuse("host");
		return origin === undefined || origins.isAllowed(origin) ? null : this.refuse("origin");
	}

	/** A place for a new connection. Whoever gets one must give it back with {@link leave}. */
	enter(request: IncomingMessage): Place | Refusal {
		if (this.closing) return this.refuse("draining");
		const refusal = this.inspect(request);
		if (refusal !== null) return refusal;
		if (this.#bucket.take(performance.now()) > 0) return this.refuse("storm");
		const address = this.#settings.addressOf(request);
		if (!this.#addresses.add(address)) return this.refuse("address");
		return { address, owner: null, left: false };
	}

	/**
	 * Who the request says it is; null where it says nothing and may still do so on the connection itself.
	 */
	async identify(request: IncomingMessage): Promise<Principal | null | Refusal> {
		try {
			return await within(this.#settings.limits.authMs, this.#credentials.ofRequest(request));
		} catch (error) {
			if (!(error instanceof ServiceError)) this.#observe.fault("identify", error);
			if (!(error instanceof ServiceError) || error.code === "UNAVAILABLE") return this.refuse("credential", 503);
			return this.refuse("credential");
		}
	}

	/** Counts a place, once, to the principal that turned out to hold it. */
	settle(place: Place, principal: Principal): Refusal | null {
		if (!this.#credentials.isGood(principal, Date.now())) return this.refuse("credential");
		const owner = ownerOf(principal);
		if (!this.#principals.add(owner)) return this.refuse("principal");
		place.owner = owner;
		return null;
	}

	leave(place: Place): void {
		if (place.left) return;
		place.left = true;
		this.#addresses.remove(place.address);
		if (place.owner !== null) this.#principals.remove(place.owner);
	}

	refuse(reason: RefusalReason, status = refusals[reason].status): Refusal {
		this.#observe.refused(reason);
		const { message } = refusals[reason];
		// Not all at once.
		return status === 503 ? { reason, status, message, retryAfterSeconds: 1 + Math.floor(Math.random() * 5) } : { reason, status, message };
	}
}

/** Who has a principal's limits: the same subject of another workspace is somebody else. */
export function ownerOf({ workspace, id }: Principal): string {
	return `${workspace}:${id}`;
}

export function isRefusal(value: object | null): value is Refusal {
	return value !== null && "reason" in value;
}

const refusals: Record<RefusalReason, { readonly status: number; readonly message: string }> = {
	// Not answered at all, for a balancer to ask another worker: see upgrade.ts.
	draining: { status: 503, message: "This worker is shutting down." },
	storm: { status: 503, message: "Too many new connections." },
	path: { status: 404, message: "Nothing speaks WebSocket here." },
	malformed: { status: 400, message: "Not a WebSocket handshake." },
	host: { status: 403, message: "Not this host." },
	origin: { status: 403, message: "Not from this origin." },
	address: { status: 429, message: "Too many connections from this address." },
	principal: { status: 429, message: "Too many connections." },
	credential: { status: 401, message: "A valid credential is needed." },
};

async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<never>((_, reject) => {
		timer = setTimeout(() => reject(new ServiceError("UNAVAILABLE", "No answer in time.")), ms);
	});
	try {
		return await Promise.race([promise, late]);
	} finally {
		clearTimeout(timer);
	}
}

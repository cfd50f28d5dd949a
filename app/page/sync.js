/**
 * The live connection: /sync, with its promise kept. It remembers the position it was told last, comes back by itself after
 * a break, goes on from there, and measures how long the server takes to answer a ping.
 */

/**
 * @typedef {import("./state.js").Message} Message
 * @typedef {{kind: "connecting"} | {kind: "live", caughtUp: number | null} | {kind: "waiting", untilMs: number}} Status
 *   `caughtUp` is how many events a break was bridged with; null where the state was sent anew
 *
 * @typedef {object} Listener
 * @property {(message: Message) => void} onMessage
 * @property {(status: Status) => void} onStatus
 * @property {(milliseconds: number | null) => void} onRoundTrip null where none came back
 * @property {() => Promise<boolean>} isAllowed whether there is still somebody to connect for; throws where nobody answers
 * @property {() => void} onEnded it is over: nobody is logged in any more
 */

const TOPICS = ["swarm", "agent", "task", "log", "performance"];

/** Milliseconds. */
const ms = { ping: 1_000, silence: 5_000, firstRetry: 250, longestRetry: 4_000 };

export class Sync {
	/** @type {Listener} */
	#listener;
	/** @type {WebSocket | null} */
	#socket = null;
	/** The highest position it was told. @type {number | null} */
	position = null;
	#live = false;
	#stopped = false;
	#failures = 0;
	/** As the server asked for before it went away. @type {number | null} */
	#wantedDelay = null;
	/** When the ping was sent that is not answered yet. @type {number | null} */
	#pinged = null;
	/** @type {ReturnType<typeof setInterval> | undefined} */
	#pings;
	/** @type {(() => void) | null} */
	#wake = null;

	/** @param {Listener} listener */
	constructor(listener) {
		this.#listener = listener;
		addEventListener("online", this.#hurry);
		document.addEventListener("visibilitychange", this.#hurry);
		void this.#run();
	}

	stop() {
		this.#stopped = true;
		removeEventListener("online", this.#hurry);
		document.removeEventListener("visibilitychange", this.#hurry);
		this.#socket?.close();
		this.#wake?.();
	}

	#hurry = () => {
		if (document.visibilityState === "visible") this.#wake?.();
	};

	async #run() {
		while (!this.#stopped) {
			this.#listener.onStatus({ kind: "connecting" });
			try {
				if (!(await this.#listener.isAllowed())) return this.#end();
				if (!this.#stopped) await this.#connection();
			} catch {
				// Nobody answers.
			}
			if (!this.#stopped) await this.#pause();
		}
	}

	#end() {
		this.stop();
		this.#listener.onEnded();
	}

	/** One connection, from its handshake to its end. */
	#connection() {
		const url = new URL("/sync", location.href);
		url.protocol = url.protocol.replace("http", "ws");
		if (this.position !== null) url.searchParams.set("since", String(this.position));
		const socket = new WebSocket(url);
		this.#socket = socket;
		return new Promise((resolve) => {
			const lost = () => {
				socket.onopen = socket.onmessage = socket.onclose = null;
				clearInterval(this.#pings);
				this.#live = false;
				this.#pinged = null;
				socket.close();
				resolve(undefined);
			};
			socket.onopen = () => {
				for (const entityType of TOPICS) this.#send({ type: "subscribe", entityType });
				this.#pings = setInterval(() => this.#ping(lost), ms.ping);
				this.#ping(lost);
			};
			socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
			socket.onclose = lost;
		});
	}

	async #pause() {
		const backOff = Math.min(ms.firstRetry * 2 ** this.#failures, ms.longestRetry);
		// Not all at once.
		const delay = this.#wantedDelay ?? backOff * (0.5 + Math.random() / 2);
		this.#wantedDelay = null;
		this.#failures += 1;
		this.#listener.onStatus({ kind: "waiting", untilMs: Date.now() + delay });
		/** @type {ReturnType<typeof setTimeout> | undefined} */
		let timer;
		await new Promise((resolve) => {
			this.#wake = () => resolve(undefined);
			timer = setTimeout(resolve, delay);
		});
		clearTimeout(timer);
		this.#wake = null;
	}

	/** @param {object} message */
	#send(message) {
		if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
	}

	/**
	 * One at a time, so that the answer is the answer to it.
	 * @param {() => void} lost
	 */
	#ping(lost) {
		const now = performance.now();
		if (this.#pinged !== null && now - this.#pinged < ms.silence) return;
		if (this.#pinged !== null) {
			this.#listener.onRoundTrip(null);
			lost();
			return;
		}
		this.#pinged = now;
		this.#send({ type: "ping" });
	}

	/** @param {Message & {seq?: number, prev?: number, from?: number, afterMs?: number}} message */
	#receive(message) {
		const { type, seq, prev } = message;
		if (type === "pong" && this.#pinged !== null) {
			this.#listener.onRoundTrip(performance.now() - this.#pinged);
			this.#pinged = null;
		}
		if (type === "reconnect") this.#wantedDelay = message.afterMs ?? 0;
		if (seq !== undefined && prev !== undefined) {
			// An update was lost between the last one and this: ask for all since then.
			if (prev > (this.position ?? 0)) return this.#send({ type: "resume", seq: this.position ?? 0 });
			if (seq <= (this.position ?? 0)) return;
		}
		if (seq !== undefined && type !== "pong" && type !== "subscribed") this.position = seq;
		this.#listener.onMessage(message);
		if (type === "initial-state") this.#isLive(null);
		if (type === "resumed") this.#isLive((seq ?? 0) - (message.from ?? 0));
	}

	/** @param {number | null} caughtUp */
	#isLive(caughtUp) {
		if (this.#live) return;
		this.#live = true;
		this.#failures = 0;
		this.#listener.onStatus({ kind: "live", caughtUp });
	}
}

/** A terminal in the page: a shell on a terminal host, found again after a lost connection and after a reload of the page. */

/**
 * @typedef {{sessionId: string, offset: number, cols: number, rows: number}} Opened
 * @typedef {{sessionId: string, data: string, type: string, offset?: number, skipped?: {from: number, to: number}}} Output
 * @typedef {{sessionId: string, exitCode: number | null, reason: string}} End
 */

/** Only for those who open a terminal: they are larger than all the rest. */
const libraries = ["/page/xterm.js", "/page/xterm-fit.js", "/page/socket.io.js"];

/** What is typed is gathered for so long, milliseconds: the server lets a connection send a hundred messages a second. */
const GATHER_MS = 12;

/** Characters of one message at most. */
const LONGEST = 16_384;

/** @type {Record<string, string>} */
const ends = {
	exited: "The shell has ended",
	closed: "The terminal was closed",
	detached: "The terminal was closed, for nobody was connected to it",
	idle: "The terminal was closed, for nothing happened in it",
	lifetime: "The terminal was closed, for it was as old as one may be",
	"host-stopped": "The terminal's host was stopped",
	"host-lost": "The terminal's host is lost",
};

export class Terminal {
	/** @type {HTMLElement} */
	#place;
	/** @type {(text: string, isOpen: boolean) => void} */
	#tell;
	/** @type {any} Of Socket.IO. */
	#socket = null;
	/** @type {any} Of xterm.js. */
	#screen = null;
	/** @type {ResizeObserver | null} */
	#watcher = null;
	/** @type {string | null} */
	#sessionId = null;
	/** All of its output up to here is on the screen. */
	#offset = 0;
	#typed = "";
	#isOpening = false;
	/** Whether the server has said that this connection has it. */
	#isAttached = false;

	/**
	 * @param {HTMLElement} place
	 * @param {(text: string, isOpen: boolean) => void} tell how it is, and whether there is one
	 */
	constructor(place, tell) {
		this.#place = place;
		this.#tell = tell;
	}

	/** Goes on with the terminal that was opened last, or opens one. */
	async open() {
		if (this.#isOpening || this.#screen !== null) return;
		this.#isOpening = true;
		this.#tell("Opening", true);
		try {
			const [xterm, fit, socketIo] = await Promise.all(libraries.map((library) => import(library)));
			if (!this.#isOpening) return;
			this.#show(xterm.Terminal, fit.FitAddon);
			this.#connect(socketIo.io);
		} catch {
			this.#tell("The terminal cannot be loaded. Try again.", false);
		} finally {
			this.#isOpening = false;
		}
	}

	/** Ends the shell as well. */
	close() {
		if (this.#sessionId !== null) this.#socket?.emit("terminal:close", { sessionId: this.#sessionId });
		else this.stop("");
	}

	/**
	 * @param {string} why what to say of it
	 */
	stop(why) {
		this.#isOpening = false;
		this.#socket?.disconnect();
		this.#watcher?.disconnect();
		this.#screen?.dispose();
		makeStyledElements(false);
		this.#socket = this.#watcher = this.#screen = null;
		this.#sessionId = null;
		this.#isAttached = false;
		this.#place.hidden = true;
		this.#tell(why, false);
	}

	/**
	 * @param {any} Screen
	 * @param {any} Fit
	 */
	#show(Screen, Fit) {
		this.#place.hidden = false;
		const { fontFamily } = getComputedStyle(this.#place);
		makeStyledElements(true);
		const screen = new Screen({ fontFamily, fontSize: 13, scrollback: 5_000 });
		const fit = new Fit();
		screen.loadAddon(fit);
		screen.open(this.#place);
		this.#watcher = new ResizeObserver(() => fit.fit());
		this.#watcher.observe(this.#place);
		fit.fit();
		screen.onData((/** @type {string} */ data) => this.#type(data));
		screen.onResize((/** @type {{cols: number, rows: number}} */ { cols, rows }) => {
			if (this.#sessionId !== null) this.#socket.emit("terminal:resize", { sessionId: this.#sessionId, cols, rows });
		});
		this.#screen = screen;
		screen.focus();
	}

	/** @param {(options: object) => any} io */
	#connect(io) {
		const socket = io({ transports: ["websocket"], reconnectionDelay: 250, reconnectionDelayMax: 4_000, forceNew: true });
		this.#socket = socket;
		socket.on("connect", () => {
			if (this.#sessionId === null) socket.emit("terminal:list", {});
			else socket.emit("terminal:attach", { sessionId: this.#sessionId, offset: this.#offset });
		});
		socket.on("disconnect", () => {
			this.#isAttached = false;
			this.#tell("Connecting again", true);
		});
		socket.on("terminal:list", (/** @type {{sessions: {sessionId: string, createdAt: number}[]}} */ { sessions }) => {
			const last = sessions.toSorted((one, other) => other.createdAt - one.createdAt)[0];
			if (last) socket.emit("terminal:attach", { sessionId: last.sessionId });
			else socket.emit("terminal:create", { cols: this.#screen.cols, rows: this.#screen.rows });
		});
		socket.on("terminal:created", (/** @type {Opened} */ opened) => this.#opened(opened));
		socket.on("terminal:attached", (/** @type {Opened} */ opened) => this.#opened(opened));
		socket.on("terminal:output", (/** @type {Output} */ output) => this.#write(output));
		socket.on("terminal:error", (/** @type {{error: string}} */ { error }) => {
			if (this.#isAttached) this.#tell(error, true);
			else this.stop(error);
		});
		socket.on("terminal:exit", (/** @type {End} */ { sessionId, exitCode, reason }) => {
			if (sessionId !== this.#sessionId) return;
			const code = reason === "exited" && exitCode !== 0 ? ` with code ${exitCode}` : "";
			this.stop(`${ends[reason] ?? "The terminal is over"}${code}.`);
		});
	}

	/** @param {Opened} opened */
	#opened({ sessionId, offset, cols, rows }) {
		const isOther = this.#sessionId !== sessionId;
		this.#sessionId = sessionId;
		this.#isAttached = true;
		if (isOther) this.#offset = offset;
		if (cols !== this.#screen.cols || rows !== this.#screen.rows) {
			this.#socket.emit("terminal:resize", { sessionId, cols: this.#screen.cols, rows: this.#screen.rows });
		}
		this.#tell("Connected", true);
	}

	/** @param {Output} output */
	#write({ sessionId, data, offset, skipped }) {
		if (sessionId !== this.#sessionId) return;
		this.#screen.write(data);
		if (skipped !== undefined) this.#offset = skipped.to;
		if (offset !== undefined) this.#offset = offset + data.length;
	}

	/** @param {string} data */
	#type(data) {
		if (this.#typed === "") setTimeout(() => this.#send(), GATHER_MS);
		this.#typed += data;
	}

	#send() {
		const input = this.#typed.slice(0, LONGEST);
		this.#typed = this.#typed.slice(LONGEST);
		// Typed while nobody listens: it would come as a surprise later.
		if (this.#socket?.connected && this.#sessionId !== null) this.#socket.emit("terminal:input", { sessionId: this.#sessionId, input });
		if (this.#typed !== "") setTimeout(() => this.#send(), GATHER_MS);
	}
}

/*
 * xterm.js writes its colours and sizes into style elements and style attributes, and the page's policy allows neither. What a
 * script says by the object model is the script's doing, and which scripts may run is known: so it is made to do that.
 */

/** @param {boolean} is whether the document makes elements for xterm.js, which asks no other */
function makeStyledElements(is) {
	const own = /** @type {{createElement?: unknown}} */ (document);
	if (is) own.createElement = createElement;
	// What is left is the prototype's.
	else delete own.createElement;
}

/** @param {string} tag */
function createElement(tag) {
	if (tag === "style") return styleSheet();
	const element = Document.prototype.createElement.call(document, tag);
	if (tag === "span") element.setAttribute = setAttribute;
	return element;
}

/**
 * @this {HTMLElement}
 * @param {string} name
 * @param {string} value
 */
function setAttribute(name, value) {
	if (name === "style") this.style.cssText = value;
	else Element.prototype.setAttribute.call(this, name, value);
}

/** An element whose text is a style sheet, for as long as it is there. */
function styleSheet() {
	const sheet = new CSSStyleSheet();
	document.adoptedStyleSheets.push(sheet);
	const element = Document.prototype.createElement.call(document, "meta");
	Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text) });
	const remove = element.remove.bind(element);
	element.remove = () => {
		document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
		remove();
	};
	return element;
}

import { randomBytes } from "node:crypto";
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type Namespace, Server, type Socket } from "socket.io";
import { ENGINE_SESSION_SEPARATOR, paths, redisKeys } from "../../contract.ts";
import type { Principal } from "../../model.ts";
import { ServiceError } from "../../ports.ts";
import { stickyCookie } from "../../sticky-cookie.ts";
import { letGo, RECONNECT_SPREAD_MS } from "../client-socket.ts";
import { unauthenticated } from "../credentials.ts";
import { isRefusal, ownerOf } from "../gate.ts";
import type { SyncContext } from "../sync/server.ts";
import { type Entry, isEngineSession, letIn, pathOf, refuseRequest } from "../upgrade.ts";
import { type ClusterAdapter, clusterAdapter } from "./adapter.ts";
import { Caller, type Reach, stamp } from "./events.ts";
import { Rooms, workspaceRoom } from "./rooms.ts";

/** What Engine.IO gives an HTTP server, and what it knows of a connection. */
interface Engine {
	readonly clients: Readonly<Record<string, Connection>>;
	readonly clientsCount: number;
	generateId: (request: IncomingMessage) => string;
	handleRequest(request: IncomingMessage, response: ServerResponse): void;
	handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
	on(event: "connection", listener: (connection: Connection) => void): void;
}

type Connection = Socket["conn"];

/** Kept with a session that may be recovered, so never more than may lie in Redis. */
interface SocketData {
	principal: Principal;
}

/** Socket.IO 4 on this worker. */
export class SocketIoServer {
	readonly #context: SyncContext;
	readonly #io: Server;
	readonly #engine: Engine;
	readonly #adapter: ClusterAdapter | null;
	readonly #heartbeat: NodeJS.Timeout;
	/** Those who were let in, until there is a connection for them; and then those behind a connection. */
	readonly #entries = new WeakMap<IncomingMessage, Entry>();
	readonly #behind = new WeakMap<Connection, Behind>();
	readonly #members = new WeakMap<Socket, Member>();
	/** For all connections and sockets: there are thousands, and a function of each one's own would be most of what they take up. */
	readonly #ears: Ears;
	readonly #rooms: Rooms;
	/** What recovered sessions have missed, by their data, until it is clear that they may have it. */
	readonly #missed: WeakMap<object, unknown[][]>;

	constructor(context: SyncContext) {
		this.#context = context;
		const { settings } = context;
		this.#adapter = settings.redis === null ? null : clusterAdapter(settings.redis, redisKeys.all);
		this.#io = new Server({
			path: paths.socketIo,
			serveClient: false,
			maxHttpBufferSize: settings.limits.socketIoMessageBytes,
			pingInterval: settings.pingMs,
			pingTimeout: settings.pingTimeoutMs,
			connectTimeout: settings.limits.authMs,
			perMessageDeflate: false,
			httpCompression: false,
			cors: { origin: (origin, decide) => decide(null, origin !== undefined && settings.origins.isAllowed(origin)), credentials: true },
			connectionStateRecovery: { maxDisconnectionDuration: RECOVERY_MS, skipMiddlewares: false },
			...(this.#adapter === null ? {} : { adapter: this.#adapter.create }),
		});
		// The engine comes with a server to listen for it; requests are handed to it here, so that one never listens.
		this.#io.attach(createServer());
		this.#engine = this.#io.engine as unknown as Engine;
		const { stickyKey, address, port } = settings.worker;
		const prefix = stickyCookie(stickyKey, address, port) + ENGINE_SESSION_SEPARATOR;
		this.#engine.generateId = () => prefix + randomBytes(18).toString("base64url");
		this.#ears = this.#makeEars();
		this.#engine.on("connection", (connection) => this.#connected(connection));
		this.#missed = holdMissedPackets(this.#io.sockets);
		this.#io.use((socket, next) => {
			this.#authenticate(socket).then(
				() => next(),
				(error: unknown) => next(this.#connectError(error)),
			);
		});
		this.#io.on("connection", (socket) => this.#open(socket));
		this.#rooms = new Rooms(this.#io, context);
		this.#heartbeat = setInterval(() => {
			this.#io.local.emit("system:heartbeat", { timestamp: stamp(), connections: this.connections });
		}, HEARTBEAT_MS);
		this.#heartbeat.unref();
	}

	get connections(): number {
		return this.#engine.clientsCount;
	}

	/** Takes over the requests of its path; the server's other listeners get the rest. */
	serve(server: HttpServer): void {
		const others = server.listeners("request");
		server.removeAllListeners("request");
		server.on("request", (request: IncomingMessage, response: ServerResponse) => {
			if (pathOf(request) === paths.socketIo) this.#request(request, response);
			else for (const listener of others) listener.call(server, request, response);
		});
	}

	/** A handshake that has been let in. */
	take(request: IncomingMessage, raw: Duplex, head: Buffer, entry: Entry): void {
		const { gate } = this.#context;
		this.#entries.set(request, entry);
		raw.once("close", () => gate.leave(entry.place));
		this.#engine.handleUpgrade(request, raw, head);
	}

	/** A connection that goes on as a WebSocket. */
	resume(request: IncomingMessage, raw: Duplex, head: Buffer): void {
		this.#engine.handleUpgrade(request, raw, head);
	}

	/** Tells everybody to come again, here and there within `overMs`, and lets go of them. */
	async drain(overMs: number): Promise<void> {
		const sockets = Map.groupBy(this.#io.sockets.sockets.values(), (socket) => socket.conn);
		await letGo(Object.values(this.#engine.clients), overMs, (connection) => {
			for (const socket of sockets.get(connection) ?? []) {
				socket.emit("server:draining", { afterMs: Math.floor(Math.random() * RECONNECT_SPREAD_MS), timestamp: stamp() });
			}
			// Not `disconnect`: after that a client does not come again by itself.
			this.#endBy(connection, 1012);
			connection.close();
		});
	}

	async close(): Promise<void> {
		clearInterval(this.#heartbeat);
		this.#rooms.close();
		await this.#io.close();
		await this.#adapter?.close();
	}

	#request(request: IncomingMessage, response: ServerResponse): void {
		const { gate } = this.#context;
		const refusal = gate.inspect(request);
		if (refusal !== null) refuseRequest(response, refusal, undefined);
		else if (request.method === "OPTIONS" || isEngineSession(request)) this.#engine.handleRequest(request, response);
		else void this.#handshake(request, response);
	}

	async #handshake(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const entry = await letIn(this.#context.gate, request);
		if (isRefusal(entry)) {
			refuseRequest(response, entry, request.headers.origin);
			return;
		}
		this.#entries.set(request, entry);
		const giveUp = () => {
			// Still there: it has come to nothing.
			if (this.#entries.delete(request)) this.#context.gate.leave(entry.place);
		};
		response.once("close", giveUp);
		if (response.destroyed) giveUp();
		else this.#engine.handleRequest(request, response);
	}

	#connected(connection: Connection): void {
		const { observe } = this.#context;
		const entry = this.#entries.get(connection.request);
		if (entry === undefined) {
			connection.close();
			return;
		}
		this.#entries.delete(connection.request);
		this.#behind.set(connection, { entry, second: 0, messages: 0, waiting: 0, endCode: 0 });
		observe.opened("socket-io");
		connection.on("packet", this.#ears.packet);
		connection.on("packetCreate", this.#ears.packetCreate);
		connection.on("flush", this.#ears.flush);
		connection.once("close", this.#ears.close);
	}

	#makeEars(): Ears {
		const { gate, observe, credentials, settings } = this.#context;
		const { messagesPerSecond, bufferedBytes } = settings.limits;
		const [behind, members] = [this.#behind, this.#members];
		const rooms = () => this.#rooms;
		const cut = (connection: Connection, code: number) => {
			this.#endBy(connection, code);
			connection.close(true);
		};
		return {
			packet(this: Connection) {
				const own = behind.get(this);
				if (own === undefined) return;
				const now = Math.floor(Date.now() / 1_000);
				own.messages = own.second === now ? own.messages + 1 : 1;
				own.second = now;
				if (own.messages > messagesPerSecond && this.readyState === "open") cut(this, 1008);
			},
			/** Who does not read is let go of, and finds a snapshot when it comes again. A single packet may be as large as it is. */
			packetCreate(this: Connection, { data }: { readonly data?: string | Buffer }) {
				const own = behind.get(this);
				if (own === undefined) return;
				if (own.waiting > bufferedBytes && this.readyState === "open") cut(this, 1013);
				own.waiting += data?.length ?? 0;
			},
			/** Handed to the transport, which takes the next ones when these are written. */
			flush(this: Connection) {
				const own = behind.get(this);
				if (own !== undefined) own.waiting = 0;
			},
			close(this: Connection) {
				const own = behind.get(this);
				if (own === undefined) return;
				gate.leave(own.entry.place);
				observe.closed("socket-io", own.endCode);
			},
			event(this: Socket, name: string, payload: unknown) {
				members.get(this)?.hear(name, payload);
			},
			disconnect(this: Socket) {
				const member = members.get(this);
				if (member === undefined) return;
				member.leave();
				credentials.unwatch(member);
				rooms().leave(member.principal.workspace);
			},
		};
	}

	#endBy(connection: Connection, code: number): void {
		const own = this.#behind.get(connection);
		if (own !== undefined) own.endCode = code;
	}

	async #authenticate(socket: Socket): Promise<void> {
		const { gate, credentials } = this.#context;
		const entry = this.#behind.get(socket.conn)?.entry;
		if (entry === undefined) throw unauthenticated();
		const { token } = socket.handshake.auth;
		const principal = typeof token === "string" ? await credentials.ofToken(token) : entry.principal;
		if (principal === null || !credentials.isGood(principal, Date.now())) throw unauthenticated();
		if (entry.place.owner === null) {
			const refusal = gate.settle(entry.place, principal);
			if (refusal !== null) throw new ServiceError("RATE_LIMITED", refusal.message);
		}
		const data = socket.data as Partial<SocketData>;
		// The id of a lost session is a secret, but it is no credential.
		const owner = data.principal;
		if (socket.recovered && (!owner || ownerOf(owner) !== ownerOf(principal))) throw unauthenticated();
		data.principal = principal;
	}

	#connectError(error: unknown): Error {
		if (!(error instanceof ServiceError)) this.#context.observe.fault("socket-io connect", error);
		const message = error instanceof ServiceError ? error.message : "Internal error.";
		return Object.assign(new Error(message), { data: { message, error: message, timestamp: stamp() } });
	}

	#open(socket: Socket): void {
		const { credentials, settings } = this.#context;
		const { principal } = socket.data as SocketData;
		const member = new Member(socket, principal, this.#context, this.#behind.get(socket.conn) ?? null);
		const cameBack = socket.recovered || typeof socket.handshake.auth.pid === "string";
		this.#members.set(socket, member);
		credentials.watch(member);
		const followed = this.#rooms.enter(principal);
		socket.on("disconnect", this.#ears.disconnect);
		socket.onAny(this.#ears.event);
		void socket.join(workspaceRoom(principal.workspace));
		// Not needed any more, and there are thousands of them.
		Object.assign(socket.conn, { request: null });
		Object.assign(socket.handshake, { auth: {}, headers: {}, query: {} });
		socket.emit("connected", { socketId: socket.id, timestamp: stamp(), server: "agentic-flow", version: settings.version });
		for (const packet of this.#missed.get(socket.data) ?? []) socket.emit(...(packet as [string, ...unknown[]]));
		// Not before what comes next is sent: between the two something would be missing.
		if (cameBack) void followed.then(() => this.#snapshot(socket, principal));
	}

	/** Room events are not kept for who is away. */
	#snapshot(socket: Socket, principal: Principal): void {
		const { services, observe } = this.#context;
		if (!socket.connected) return;
		services.swarm.snapshot(principal).then(
			(snapshot) => socket.emit("system:snapshot", snapshot),
			(error: unknown) => observe.fault("socket-io snapshot", error),
		);
	}
}

/** Who is behind a connection, and what is counted of it. */
interface Behind {
	readonly entry: Entry;
	/** The second of its last message, and its messages in it. */
	second: number;
	messages: number;
	/** Bytes that wait to be written. */
	waiting: number;
	/** The close code that the server gave; 0 while it has given none. */
	endCode: number;
}

/** A socket that has come in, for as long as its credential is good. */
class Member extends Caller {
	readonly #behind: Behind | null;

	constructor(socket: Socket, principal: Principal, reach: Reach, behind: Behind | null) {
		super(socket, principal, reach);
		this.#behind = behind;
	}

	cut(): void {
		if (this.#behind !== null) this.#behind.endCode = 1008;
		this.socket.disconnect(true);
	}
}

/** Called on the connection or the socket that something happens to. */
interface Ears {
	packet(this: Connection): void;
	packetCreate(this: Connection, packet: { readonly data?: string | Buffer }): void;
	flush(this: Connection): void;
	close(this: Connection): void;
	event(this: Socket, name: string, payload: unknown): void;
	disconnect(this: Socket): void;
}

/**
 * Socket.IO sends a recovered session what it missed before it asks who has come for it. So that is held back here.
 */
function holdMissedPackets(namespace: Namespace): WeakMap<object, unknown[][]> {
	const held = new WeakMap<object, unknown[][]>();
	const { adapter } = namespace;
	const restore = adapter.restoreSession.bind(adapter);
	adapter.restoreSession = async (pid, offset) => {
		const session = await restore(pid, offset);
		const data = session?.data as object | null | undefined;
		if (!session || !data) return session;
		held.set(data, session.missedPackets);
		return { ...session, missedPackets: [] };
	};
	return held;
}

/** Milliseconds for which a lost connection may be taken up again. */
const RECOVERY_MS = 120_000;

const HEARTBEAT_MS = 30_000;

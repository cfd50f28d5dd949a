/** Terminals for this worker's clients: the shells are on hosts of their own, reached through mailboxes in Redis. */
import { randomBytes, randomUUID } from "node:crypto";
import type { Redis } from "ioredis";
import type { Principal } from "../model.ts";
import { ServiceError, type Terminal, type TerminalListener, type TerminalService } from "../ports.ts";
import { Mailbox, mailboxOptions, post } from "../stores/mailbox.ts";
import { heartbeat, hostMailbox, TerminalRegistry, workerMailbox } from "../stores/terminal-registry.ts";
import { following, type TerminalDescription, type TerminalSize, type ToHost, type ToWorker, WINDOW } from "../terminals/messages.ts";

/** How long a host may take to answer, milliseconds. */
const ANSWER_MS = 10_000;

/** Looks in a row that find nothing of a host before its terminals are given up: a failover of Redis is no end. */
const LOOKS = 3;

export interface TerminalSettings {
	/** Terminals that one principal may have. */
	readonly perPrincipal: number;
	/** Whether clients without a credential may have any. */
	readonly anonymous: boolean;
}

export interface TerminalParts {
	/** Opens a connection to the state Redis; closed with the service. */
	readonly connect: (purpose: string, overrides: object) => Redis;
	readonly problem: (what: string, error: unknown) => void;
}

/** @param settings null where there are no terminals */
export function terminalService(parts: TerminalParts, settings: TerminalSettings | null): TerminalService & { close(): void } {
	return settings === null ? noTerminals : new RemoteTerminals(parts, settings);
}

function off(): never {
	throw new ServiceError(
		"NOT_IMPLEMENTED",
		"Terminals are off here. An operator can switch them on: `terminals.enabled: true` in the stack's settings, TERMINALS=true for a server.",
	);
}

const noTerminals = { create: async () => off(), attach: async () => off(), list: async () => off(), close() {} };

/** What a terminal belongs to: the same subject of another workspace is somebody else. */
function ownerOf({ workspace, id }: Principal): string {
	return `${workspace}:${id}`;
}

class RemoteTerminals implements TerminalService {
	readonly #settings: TerminalSettings;
	readonly #parts: TerminalParts;
	readonly #redis: Redis;
	readonly #registry: TerminalRegistry;
	readonly #attachments = new Map<string, Attachment>();
	/** Hosts of which nothing was found when looked for, and how often in a row. */
	readonly #silent = new Map<string, number>();
	readonly #timers: NodeJS.Timeout[];
	#mailbox: Promise<Mailbox<ToWorker>> | null = null;

	constructor(parts: TerminalParts, settings: TerminalSettings) {
		this.#settings = settings;
		this.#parts = parts;
		this.#redis = parts.connect("terminals", {});
		this.#registry = new TerminalRegistry(this.#redis);
		this.#timers = [
			setInterval(() => void this.#lookAtHosts(), 2 * heartbeat.everyMs).unref(),
			setInterval(() => this.#sayAlive(), following.everyMs).unref(),
		];
	}

	async create(
		principal: Principal,
		{ cwd, ...size }: TerminalSize & { readonly cwd: string | null },
		listener: TerminalListener,
	): Promise<Terminal> {
		this.#admit(principal);
		const owner = ownerOf(principal);
		const sessionId = `terminal_${Date.now()}_${randomBytes(15).toString("base64url")}`;
		const hosts = (await this.#registry.hosts()).filter(({ sessions, capacity }) => sessions < capacity);
		if (hosts.length === 0) throw new ServiceError("UNAVAILABLE", "There is no room for another terminal now. Try again in a while.", 10);
		if (!(await this.#reserve(owner, sessionId))) {
			throw new ServiceError(
				"RATE_LIMITED",
				`There are ${this.#settings.perPrincipal} terminals of yours already. Close one, then try again.`,
			);
		}
		try {
			// In their order: one that has filled up meanwhile says so.
			for (const { host } of hosts) {
				const attachment = await this.#open(host, owner, sessionId, listener, (common) => ({
					kind: "create",
					who: `${principal.id} of ${principal.workspace} by ${principal.credentialId}`,
					cwd,
					...size,
					...common,
				}));
				if (attachment !== null) return attachment;
			}
			throw new ServiceError("UNAVAILABLE", "There is no room for another terminal now. Try again in a while.", 10);
		} catch (error) {
			await this.#registry.release(owner, sessionId).catch(() => {});
			throw error;
		}
	}

	async attach(principal: Principal, sessionId: string, offset: number | null, listener: TerminalListener): Promise<Terminal> {
		this.#admit(principal);
		const owner = ownerOf(principal);
		const found = await this.#registry.find(sessionId);
		const attachment =
			found === null || found.owner !== owner
				? null
				: await this.#open(found.host, owner, sessionId, listener, (common) => ({ kind: "attach", offset, ...common }));
		if (attachment === null) throw new ServiceError("NOT_FOUND", "There is no such terminal.");
		return attachment;
	}

	async list(principal: Principal): Promise<TerminalDescription[]> {
		this.#admit(principal);
		const found = await this.#registry.ofOwner(ownerOf(principal));
		const there = await this.#registry.areThere(found.map(({ host }) => host));
		return found.filter((_, index) => there[index]).map(({ owner: _, host: __, ...terminal }) => terminal);
	}

	close(): void {
		for (const timer of this.#timers) clearInterval(timer);
		for (const attachment of this.#attachments.values()) attachment.detach();
		this.#mailbox?.then(
			(mailbox) => mailbox.close(),
			() => {},
		);
		// What has been said last is on its way.
		this.#redis.quit().catch(() => this.#redis.disconnect());
	}

	/** A terminal whose host is lost keeps nobody from another one. */
	async #reserve(owner: string, sessionId: string): Promise<boolean> {
		if (await this.#registry.reserve(owner, sessionId, this.#settings.perPrincipal)) return true;
		const own = await this.#registry.ofOwner(owner);
		const there = await this.#registry.areThere(own.map(({ host }) => host));
		const lost = own.filter((_, index) => !there[index]);
		await Promise.all(lost.map((terminal) => this.#registry.release(owner, terminal.sessionId)));
		return lost.length > 0 && (await this.#registry.reserve(owner, sessionId, this.#settings.perPrincipal));
	}

	#admit({ id }: Principal): void {
		if (id.startsWith("legacy:") && !this.#settings.anonymous) {
			throw new ServiceError(
				"FORBIDDEN",
				"A terminal needs a token: without one anybody could run commands here. `flowctl up --legacy-open --allow-shell` allows it all the same.",
			);
		}
	}

	/** @returns null where the host will not have it */
	async #open(
		host: string,
		owner: string,
		sessionId: string,
		listener: TerminalListener,
		message: (common: { attachment: string; worker: string; sessionId: string; owner: string }) => ToHost,
	): Promise<Attachment | null> {
		const mailbox = await this.#ownMailbox();
		const attachment = new Attachment(host, owner, sessionId, listener, {
			worker: mailbox.key,
			tell: (to) => this.#tell(host, to),
			over: () => this.#attachments.delete(attachment.id),
		});
		this.#attachments.set(attachment.id, attachment);
		const timer = setTimeout(
			() => attachment.fail(new ServiceError("UNAVAILABLE", "The terminal's host does not answer. Try again.", 5)),
			ANSWER_MS,
		);
		try {
			await post(this.#redis, hostMailbox(host), message({ attachment: attachment.id, worker: mailbox.key, sessionId, owner }));
			return (await attachment.opened) ? attachment : null;
		} catch (error) {
			attachment.detach();
			throw error instanceof ServiceError ? error : new ServiceError("UNAVAILABLE", "Terminals cannot be reached. Try again.", 5);
		} finally {
			clearTimeout(timer);
		}
	}

	/** One for all terminals of this worker, from the first one on. */
	#ownMailbox(): Promise<Mailbox<ToWorker>> {
		this.#mailbox ??= Mailbox.open<ToWorker>(
			workerMailbox(randomUUID()),
			this.#parts.connect("terminal-mailbox", mailboxOptions),
			this.#redis,
			(message) => this.#attachments.get(message.attachment)?.hear(message),
			(error) => this.#parts.problem("the mailbox of terminals cannot be read", error),
		).catch((error: unknown) => {
			this.#mailbox = null;
			throw error;
		});
		return this.#mailbox;
	}

	#tell(host: string, message: ToHost): Promise<void> {
		return post(this.#redis, hostMailbox(host), message);
	}

	#sayAlive(): void {
		for (const attachment of this.#attachments.values()) attachment.sayAlive();
	}

	async #lookAtHosts(): Promise<void> {
		const hosts = [...new Set([...this.#attachments.values()].map(({ host }) => host))];
		try {
			const there = await this.#registry.areThere(hosts);
			for (const [index, host] of hosts.entries()) {
				const looks = there[index] ? 0 : (this.#silent.get(host) ?? 0) + 1;
				if (looks === 0) this.#silent.delete(host);
				else this.#silent.set(host, looks);
				if (looks < LOOKS) continue;
				this.#silent.delete(host);
				for (const attachment of this.#attachments.values()) if (attachment.host === host) attachment.lose();
			}
		} catch (error) {
			this.#parts.problem("terminal hosts cannot be looked for", error);
		}
	}
}

interface Links {
	/** Key of the worker's mailbox. */
	readonly worker: string;
	tell(message: ToHost): Promise<void>;
	over(): void;
}

/** A client's connection to one terminal. */
class Attachment implements Terminal {
	readonly id: string = randomUUID();
	readonly host: string;
	readonly sessionId: string;
	readonly #owner: string;
	readonly #listener: TerminalListener;
	readonly #links: Links;
	readonly #answer = Promise.withResolvers<boolean>();
	/** Of the description; there when it is opened. */
	#terminal: TerminalDescription | null = null;
	/** Position up to which it has output, and up to which the client has. */
	#received = 0;
	#taken = 0;
	/** What the host knows of it. */
	#said = 0;
	#following = false;
	#isOver = false;

	constructor(host: string, owner: string, sessionId: string, listener: TerminalListener, links: Links) {
		this.host = host;
		this.sessionId = sessionId;
		this.#owner = owner;
		this.#listener = listener;
		this.#links = links;
	}

	/** False where the host will not have it. */
	get opened(): Promise<boolean> {
		return this.#answer.promise;
	}

	get description(): TerminalDescription {
		return this.#terminal as TerminalDescription;
	}

	get offset(): number {
		return this.#received;
	}

	async input(data: string): Promise<void> {
		await this.#tell({ kind: "input", sessionId: this.sessionId, owner: this.#owner, data });
	}

	async resize({ cols, rows }: TerminalSize): Promise<void> {
		await this.#tell({ kind: "resize", sessionId: this.sessionId, owner: this.#owner, cols, rows });
	}

	async end(): Promise<void> {
		await this.#tell({ kind: "close", sessionId: this.sessionId, owner: this.#owner });
	}

	follow(offset: number): void {
		this.#taken = Math.max(this.#taken, offset);
		if (this.#following && this.#taken - this.#said < WINDOW / 4) return;
		this.#following = true;
		this.#say(false);
	}

	detach(): void {
		if (this.#isOver) return;
		this.#tell({ kind: "detach", sessionId: this.sessionId, attachment: this.id }).catch(ignore);
		this.#over();
	}

	hear(message: ToWorker): void {
		switch (message.kind) {
			case "attached":
				this.#terminal = message.terminal;
				this.#received = this.#taken = message.offset;
				this.#answer.resolve(true);
				break;
			case "refused":
				// Where it had been attached: it is over, and the word of its end was lost.
				this.lose();
				this.#over();
				this.#answer.resolve(false);
				break;
			case "output":
				this.#output(message);
				break;
			case "end":
				this.#over();
				this.#listener.ended(message);
		}
	}

	fail(error: Error): void {
		this.#answer.reject(error);
	}

	/** Nothing is heard of its host any more, or of the terminal there. */
	lose(): void {
		if (this.#terminal === null) return;
		this.#over();
		this.#listener.ended({ exitCode: null, signal: null, reason: "host-lost" });
	}

	sayAlive(): void {
		if (this.#following) this.#say(false);
	}

	/** Redis may lose what it has accepted, and so the host is asked again for what does not follow on the last. */
	#output({ offset, data, skipped }: Extract<ToWorker, { kind: "output" }>): void {
		if (offset < this.#received) return;
		if (offset - skipped > this.#received) {
			this.#say(true);
			return;
		}
		if (offset > this.#received) this.#listener.skipped(this.#received, offset);
		this.#received = offset + data.length;
		this.#listener.output(offset, data);
	}

	#say(again: boolean): void {
		const offset = again ? this.#received : this.#taken;
		this.#said = offset;
		const { sessionId, id: attachment } = this;
		const { worker } = this.#links;
		this.#tell({ kind: "follow", sessionId, owner: this.#owner, attachment, worker, offset, again }).catch(ignore);
	}

	/** @throws ServiceError where it did not get as far as Redis */
	async #tell(message: ToHost): Promise<void> {
		if (this.#isOver) return;
		try {
			await this.#links.tell(message);
		} catch {
			throw new ServiceError("UNAVAILABLE", "The terminal cannot be reached: what was typed last may be lost.", 1);
		}
	}

	#over(): void {
		this.#isOver = true;
		this.#links.over();
	}
}

/** It is said again. */
function ignore(): void {}

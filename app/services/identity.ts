import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Redis } from "ioredis";
import { LRUCache } from "lru-cache";
import type { Principal } from "../model.ts";
import { type IdentityService, type Login, ServiceError, type TokenService } from "../ports.ts";
import type { Channels } from "../stores/channels.ts";
import type { LoginCodeStore } from "../stores/login-codes.ts";
import type { SessionLife, SessionStore } from "../stores/sessions.ts";
import type { TokenRecord, TokenStore } from "../stores/tokens.ts";
import { hashOf, REVOKED_CHANNEL, takeCode, tokenService } from "./tokens.ts";

/** Milliseconds. */
const ms = {
	/** How old what is known of a credential may be. */
	known: 2_000,
	/** Who is asked for when it is older than this has it read anew meanwhile: nobody else waits for that. */
	ahead: 1_400,
	/** How often a worker looks for credentials that have ended, should it not have been told. */
	look: 2_000,
	/** How much more than the time since its last look it looks at: a transaction may have taken so long to commit. */
	overlap: 30_000,
	/** For how long an ended credential is not taken for good, whatever is read: the reading may have begun before. */
	ended: 60_000,
} as const;

/** Entries. */
const most = { known: 20_000, ended: 20_000, sessions: 100_000 } as const;

/** The same for every credential that is no good, whatever is wrong with it. */
const UNAUTHENTICATED = "A valid token or session is needed";

/** `af_<id>_<secret>`: 10 random bytes in hexadecimal digits, 32 in base64url. */
const TOKEN = /^af_([0-9a-f]{20})_([A-Za-z0-9_-]{43})$/;

/** 32 random bytes in base64url. */
const SESSION_ID = /^[A-Za-z0-9_-]{43}$/;

/** Before a session's hash in its credential id. */
const SESSION_PREFIX = "session-";

/** What a secret is compared with where there is no token, so that it takes as long. */
const NO_HASH = randomBytes(32);

export interface IdentityParts {
	readonly tokens: TokenStore;
	readonly sessions: SessionStore;
	readonly codes: LoginCodeStore;
	/** Publishes which credentials have ended, which {@link channels} hear. */
	readonly state: Redis;
	readonly channels: Channels;
	readonly observe: IdentityObserver;
}

/** Told what happens; must not throw. */
export interface IdentityObserver {
	/** For the log: trouble that no caller sees. */
	problem(what: string, error: unknown): void;
}

export interface RunningIdentityService extends IdentityService {
	close(): void;
}

/**
 * Tokens are in PostgreSQL, sessions in Redis, both as hashes: who reads them there cannot use them. A session lasts no
 * longer than the token it was begun with.
 *
 * @param life of a session
 */
export function identityService(parts: IdentityParts, life: SessionLife): RunningIdentityService {
	return new Identity(parts, life);
}

/** What a worker has read. */
interface Known {
	/** When it was asked for, `performance.now()`. */
	readonly at: number;
}

/** What a worker has read of a token. */
interface KnownToken extends Known {
	readonly record: TokenRecord | null;
	/** When the token ends by itself, `performance.now()`. */
	readonly endsAt: number;
}

/** A token whose secret was the right one, as it was read. */
interface Verified {
	readonly token: KnownToken;
	readonly record: TokenRecord;
	readonly principal: Principal;
}

/** What a worker has read of a session. */
interface KnownSession extends Known {
	/** The token it was begun with; null where there is no such session. */
	readonly credentialId: string | null;
	/** When it ends however much it is used, `performance.now()`. */
	readonly endsAt: number;
}

class Identity implements RunningIdentityService {
	readonly #parts: IdentityParts;
	readonly #life: SessionLife;
	readonly #issuer: TokenService;
	readonly #tokens = new Lookups<KnownToken>((credentialId) => this.#readToken(credentialId));
	readonly #sessions = new Lookups<KnownSession>((hash) => this.#readSession(hash));
	/** By their texts, so that a secret is hashed once for as long as it is known. */
	readonly #verified = new LRUCache<string, Verified>({ max: most.known, ttl: ms.known });
	/** Credentials that have ended of late. */
	readonly #ended = new LRUCache<string, true>({ max: most.ended, ttl: ms.ended });
	/** The token of each session that this worker has let in: what comes of it ends with the token. */
	readonly #tokenOf: LRUCache<string, string>;
	readonly #listeners = new Set<(credentialId: string) => void>();
	#closed = false;

	constructor(parts: IdentityParts, life: SessionLife) {
		this.#parts = parts;
		this.#life = life;
		this.#tokenOf = new LRUCache({ max: most.sessions, ttl: life.longestMs });
		this.#issuer = tokenService({ ...parts, announce: (credentialId) => this.#announce(credentialId) });
		parts.channels.listen(REVOKED_CHANNEL, (credentialId) => this.#end([credentialId]));
		this.#keepLooking((milliseconds) => parts.tokens.revokedWithin(milliseconds));
		this.#keepLooking(async (milliseconds) => (await parts.sessions.endedWithin(milliseconds)).map(credentialOf));
	}

	async fromToken(token: string): Promise<Principal> {
		return principalOf(await this.#tokenOfText(token));
	}

	known(text: string): Principal | null {
		let verified = this.#verified.get(text) ?? null;
		// Read anew since, or not known any more.
		if (verified === null || this.#tokens.known(verified.record.credentialId) !== verified.token) verified = this.#verify(text);
		return verified !== null && this.#isGood(verified.record, verified.token.endsAt) ? verified.principal : null;
	}

	async fromSession(sessionId: string): Promise<Principal> {
		if (!SESSION_ID.test(sessionId)) throw unauthenticated();
		return await this.#fromSessionHash(hashOf(sessionId).toString("base64url"));
	}

	async login(token: string): Promise<Login> {
		return await this.#begin(await this.#tokenOfText(token));
	}

	async loginWithCode(code: string): Promise<Login> {
		const credentialId = await takeCode(this.#parts.codes, code);
		if (credentialId === null) throw unauthenticated();
		const { record, endsAt } = await this.#tokens.get(credentialId);
		if (record === null || !this.#isGood(record, endsAt)) throw unauthenticated();
		return await this.#begin(record);
	}

	async logout(sessionId: string): Promise<void> {
		if (!SESSION_ID.test(sessionId)) return;
		const hash = hashOf(sessionId).toString("base64url");
		await this.#parts.sessions.end(hash);
		await this.#announce(credentialOf(hash));
	}

	issue(settings: Parameters<TokenService["issue"]>[0]): ReturnType<TokenService["issue"]> {
		return this.#issuer.issue(settings);
	}

	revoke(credentialId: string): Promise<boolean> {
		return this.#issuer.revoke(credentialId);
	}

	list(): ReturnType<TokenService["list"]> {
		return this.#issuer.list();
	}

	loginCode(credentialId: string): ReturnType<TokenService["loginCode"]> {
		return this.#issuer.loginCode(credentialId);
	}

	onRevoked(listener: (credentialId: string) => void): () => void {
		// The same function twice is two listeners.
		const own = (credentialId: string) => listener(credentialId);
		this.#listeners.add(own);
		return () => this.#listeners.delete(own);
	}

	close(): void {
		this.#closed = true;
		this.#listeners.clear();
	}

	async #begin({ credentialId, leftMs }: TokenRecord): Promise<Login> {
		const longestMs = Math.min(this.#life.longestMs, leftMs ?? Number.POSITIVE_INFINITY);
		const sessionId = randomBytes(32).toString("base64url");
		const hash = hashOf(sessionId).toString("base64url");
		await this.#parts.sessions.begin(hash, credentialId, longestMs);
		return { sessionId, principal: await this.#fromSessionHash(hash), maxAgeSeconds: Math.floor(longestMs / 1_000) };
	}

	/** Null where the token has not been read of late, or is another. */
	#verify(text: string): Verified | null {
		const [, credentialId, secret] = TOKEN.exec(text) ?? [];
		const token = credentialId === undefined ? undefined : this.#tokens.known(credentialId);
		if (secret === undefined || !token?.record || !timingSafeEqual(hashOf(secret), token.record.hash)) return null;
		const verified = { token, record: token.record, principal: principalOf(token.record) };
		this.#verified.set(text, verified);
		return verified;
	}

	/** @throws ServiceError UNAUTHENTICATED */
	async #tokenOfText(text: string): Promise<TokenRecord> {
		const [, credentialId, secret] = TOKEN.exec(text) ?? [];
		if (credentialId === undefined || secret === undefined) throw unauthenticated();
		const { record, endsAt } = await this.#tokens.get(credentialId);
		const matches = timingSafeEqual(hashOf(secret), record?.hash ?? NO_HASH);
		if (record === null || !matches || !this.#isGood(record, endsAt)) throw unauthenticated();
		return record;
	}

	/** @throws ServiceError UNAUTHENTICATED */
	async #fromSessionHash(hash: string): Promise<Principal> {
		const session = await this.#sessions.get(hash);
		if (session.credentialId === null || session.endsAt <= performance.now()) throw unauthenticated();
		const { record, endsAt } = await this.#tokens.get(session.credentialId);
		const credentialId = credentialOf(hash);
		if (record === null || !this.#isGood(record, endsAt) || this.#ended.has(credentialId)) throw unauthenticated();
		this.#tokenOf.set(credentialId, record.credentialId);
		const leftMs = Math.min(session.endsAt, endsAt) - performance.now();
		return { ...principalOf(record), id: `session:${record.subject}`, credentialId, expiresAt: Math.ceil(Date.now() + leftMs) };
	}

	#isGood({ credentialId, revokedAt }: TokenRecord, endsAt: number): boolean {
		return revokedAt === null && endsAt > performance.now() && !this.#ended.has(credentialId);
	}

	async #readToken(credentialId: string): Promise<KnownToken> {
		const at = performance.now();
		const record = await this.#parts.tokens.find(credentialId);
		return { at, record, endsAt: at + (record?.leftMs ?? Number.POSITIVE_INFINITY) };
	}

	async #readSession(hash: string): Promise<KnownSession> {
		const at = performance.now();
		const session = await this.#parts.sessions.use(hash);
		return session === null
			? { at, credentialId: null, endsAt: at }
			: { at, credentialId: session.credentialId, endsAt: at + session.leftMs };
	}

	/** To all workers, this one first. Those that do not hear it find out by looking. */
	async #announce(credentialId: string): Promise<void> {
		this.#end([credentialId]);
		const { state, observe } = this.#parts;
		await state.publish(REVOKED_CHANNEL, credentialId).catch((error) => observe.problem("a revocation was not announced", error));
	}

	#end(credentialIds: readonly string[]): void {
		if (credentialIds.length === 0) return;
		for (const credentialId of credentialIds) {
			this.#ended.set(credentialId, true);
			if (credentialId.startsWith(SESSION_PREFIX)) this.#sessions.forget(credentialId.slice(SESSION_PREFIX.length));
			else this.#tokens.forget(credentialId);
		}
		const ended = new Set(credentialIds);
		for (const [session, token] of this.#tokenOf) if (ended.has(token)) ended.add(session);
		for (const credentialId of ended) this.#tell(credentialId);
	}

	#tell(credentialId: string): void {
		for (const listener of this.#listeners) {
			try {
				listener(credentialId);
			} catch (error) {
				this.#parts.observe.problem("a listener to revocations failed", error);
			}
		}
	}

	/** Looks for ends now and then, and for those of a while before again: a socket may have been let in just before one was heard of. */
	#keepLooking(endedWithin: (milliseconds: number) => Promise<readonly string[]>): void {
		let lookedAt = performance.now();
		const look = async () => {
			if (this.#closed) return;
			const at = performance.now();
			try {
				this.#end(await endedWithin(at - lookedAt + ms.overlap));
				lookedAt = at;
			} catch (error) {
				this.#parts.observe.problem("revocations cannot be looked for", error);
			}
			later();
		};
		const later = () => setTimeout(look, ms.look * (0.8 + 0.2 * Math.random())).unref();
		later();
	}
}

/** What was read of late, each key once at a time. */
class Lookups<Value extends Known> {
	readonly #known = new LRUCache<string, Value>({ max: most.known, ttl: ms.known });
	readonly #reading = new Map<string, Promise<Value>>();
	readonly #read: (key: string) => Promise<Value>;

	constructor(read: (key: string) => Promise<Value>) {
		this.#read = read;
	}

	async get(key: string): Promise<Value> {
		return this.known(key) ?? (await (this.#reading.get(key) ?? this.#begin(key)));
	}

	/** What has been read of late. */
	known(key: string): Value | undefined {
		const value = this.#known.get(key);
		if (value !== undefined && performance.now() - value.at > ms.ahead && !this.#reading.has(key)) {
			// Whoever asks when it is not known any more is told what is wrong.
			this.#begin(key).catch(() => {});
		}
		return value;
	}

	/** Also what is being read. */
	forget(key: string): void {
		this.#known.delete(key);
		this.#reading.delete(key);
	}

	#begin(key: string): Promise<Value> {
		const reading = this.#read(key)
			.then((value) => {
				// As old as the question.
				if (this.#reading.get(key) === reading) this.#known.set(key, value, { start: value.at });
				return value;
			})
			.finally(() => {
				if (this.#reading.get(key) === reading) this.#reading.delete(key);
			});
		this.#reading.set(key, reading);
		return reading;
	}
}

function principalOf({ subject, roles, workspace, expiresAt, credentialId }: TokenRecord): Principal {
	return { id: `token:${subject}`, roles, workspace, expiresAt, credentialId };
}

/** The credential id of a session, by its hash. */
function credentialOf(hash: string): string {
	return SESSION_PREFIX + hash;
}

function unauthenticated(): ServiceError {
	return new ServiceError("UNAUTHENTICATED", UNAUTHENTICATED);
}

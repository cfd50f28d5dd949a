import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { identityService } from "../../app/services/identity.ts";
import { Channels, channelOptions } from "../../app/stores/channels.ts";
import { LoginCodeStore } from "../../app/stores/login-codes.ts";
import type { Database } from "../../app/stores/postgres.ts";
import { connectRedis } from "../../app/stores/redis.ts";
import { SessionStore } from "../../app/stores/sessions.ts";
import { TokenStore } from "../../app/stores/tokens.ts";
import { missing, type StandaloneRedis } from "./daemons.ts";
import { type Rig, refusal, startRig, until } from "./stores-rig.ts";

const life = { idleMs: 1_500, longestMs: 6_000 };
const refused = "UNAUTHENTICATED: A valid token or session is needed";

/** The identity service as one worker has it. */
function identityWorker({ host, port }: StandaloneRedis, database: Database, sessionLife = life) {
	const settings = { kind: "endpoint", host, port, tls: false, credentials: async () => null } as const;
	const commands = connectRedis(settings, "services", { commandTimeout: 2_000 });
	const subscriber = connectRedis(settings, "channels", channelOptions);
	const channels = new Channels(subscriber, () => {});
	const problems: string[] = [];
	const service = identityService(
		{
			tokens: new TokenStore(database),
			sessions: new SessionStore(commands, sessionLife),
			codes: new LoginCodeStore(commands),
			state: commands,
			channels,
			observe: { problem: (what) => problems.push(what) },
		},
		sessionLife,
	);
	const revoked: string[] = [];
	service.onRevoked((credentialId) => revoked.push(credentialId));
	const stop = () => {
		service.close();
		channels.close();
		commands.disconnect();
		subscriber.disconnect();
	};
	return { service, channels, subscriber, revoked, problems, stop };
}

type IdentityWorker = ReturnType<typeof identityWorker>;

const member = { subject: "alice", roles: ["member"], workspace: "alpha", expiresAt: null } as const;

describe.skipIf(missing)(`identity${missing ? `: ${missing}` : ""}`, () => {
	let rig: Rig;
	let a: IdentityWorker;
	let b: IdentityWorker;

	beforeAll(async () => {
		rig = await startRig({ replicas: 1 });
		a = identityWorker(rig.redis, rig.worker().database);
		b = identityWorker(rig.redis, rig.worker().database);
		await until(() => a.channels.connected && b.channels.connected);
	});

	afterAll(async () => {
		a?.stop();
		b?.stop();
		await rig?.stop();
	});

	const rows = (text: string, values: readonly unknown[] = []) => rig.postgres.primary.query(text, values, rig.postgres.database);

	describe("a token", () => {
		it("is known without asking anybody once it was read, and no longer than that holds", async () => {
			const { token, credentialId } = await a.service.issue(member);
			const other = `${token.slice(0, -1)}${token.endsWith("A") ? "B" : "A"}`;
			expect(b.service.known(token)).toBeNull();
			const principal = await b.service.fromToken(token);
			expect(b.service.known(token)).toEqual(principal);
			expect([b.service.known(other), b.service.known(`${token}=`), b.service.known("")]).toEqual([null, null, null]);
			await sleep(1_300);
			expect(b.service.known(token)).toEqual(principal);
			await sleep(800);
			expect(b.service.known(token)).toBeNull();
			await b.service.fromToken(token);
			expect(b.service.known(token)).toEqual(principal);
			await a.service.revoke(credentialId);
			await until(() => b.service.known(token) === null);
			await expect(refusal(b.service.fromToken(token))).resolves.toBe(refused);
		});

		it("is read anew before that for whoever asks for it meanwhile, so that nobody waits", async () => {
			const { token } = await a.service.issue(member);
			const principal = await b.service.fromToken(token);
			for (let time = 0; time < 90; time += 1) {
				await sleep(50);
				expect(b.service.known(token)).toEqual(principal);
			}
		});

		it("is good at once on every worker, and says whose it is", async () => {
			for (let time = 0; time < 20; time += 1) {
				const { token, credentialId } = await a.service.issue({ ...member, roles: ["member", "operator"] });
				expect(await b.service.fromToken(token)).toEqual({
					id: "token:alice",
					roles: ["member", "operator"],
					workspace: "alpha",
					expiresAt: null,
					credentialId,
				});
			}
		});

		it("is nowhere in the database, but as a hash", async () => {
			const { token, credentialId } = await a.service.issue(member);
			expect(token).toMatch(/^af_[0-9a-f]{20}_[\w-]{43}$/);
			const secret = token.slice(token.indexOf("_", 3) + 1);
			const [row] = await rows("select tokens::text as everything, hash from tokens where credential_id = $1", [credentialId]);
			expect(row?.everything).not.toContain(secret);
			expect(row?.hash).toEqual(createHash("sha256").update(secret).digest());
		});

		it("that is no good is refused in the same words, whatever is wrong with it", async () => {
			const { token } = await a.service.issue(member);
			const other = (await a.service.issue(member)).token;
			const expired = await a.service.issue({ ...member, expiresAt: Date.now() + 50 });
			const revoked = await a.service.issue(member);
			await a.service.revoke(revoked.credentialId);
			await sleep(100);
			const bad = [
				"",
				"nonsense",
				token.slice(0, -1),
				`${token}A`,
				`${token} `,
				`${token}\n`,
				token.toUpperCase(),
				token.slice(0, 24) + other.slice(24),
				`af_${"0".repeat(20)}_${token.slice(24)}`,
				`af__${token.slice(24)}`,
				"af_' or 1=1 --_x",
				expired.token,
				revoked.token,
			];
			for (const each of bad) expect(await refusal(b.service.fromToken(each))).toBe(refused);
			expect((await b.service.fromToken(token)).id).toBe("token:alice");
		});

		it("takes as long to refuse with a wrong secret as with an id that is not there", async () => {
			const { token } = await a.service.issue(member);
			const wrong = `${token.slice(0, 24)}${"A".repeat(43)}`;
			const unknown = `af_${"f".repeat(20)}_${"A".repeat(43)}`;
			const times = { wrong: [] as number[], unknown: [] as number[] };
			for (let time = 0; time < 2_000; time += 1) {
				for (const [name, text] of [
					["wrong", wrong],
					["unknown", unknown],
				] as const) {
					const begun = performance.now();
					await a.service.fromToken(text).catch(() => {});
					times[name].push(performance.now() - begun);
				}
			}
			const median = (values: number[]) => values.toSorted((one, two) => one - two)[values.length / 2] as number;
			expect(median(times.wrong) / median(times.unknown)).toBeGreaterThan(0.6);
			expect(median(times.wrong) / median(times.unknown)).toBeLessThan(1.6);
		});

		it("is looked up once for all who come with it at the same time, and then not for a while", async () => {
			const counted = rig.worker();
			const worker = identityWorker(rig.redis, counted.database);
			const { token } = await a.service.issue(member);
			await until(() => worker.channels.connected);
			const looked = () => counted.told.statements.primary + counted.told.statements.replica;
			const before = looked();
			await Promise.all(Array.from({ length: 100 }, () => worker.service.fromToken(token)));
			for (let time = 0; time < 100; time += 1) await worker.service.fromToken(token);
			expect(looked() - before).toBeLessThanOrEqual(2);
			worker.stop();
		});

		it("ends by itself when its time has come, though it is still known", async () => {
			const { token } = await a.service.issue({ ...member, expiresAt: Date.now() + 400 });
			expect((await a.service.fromToken(token)).expiresAt).toBeGreaterThan(Date.now());
			await sleep(420);
			expect(await refusal(a.service.fromToken(token))).toBe(refused);
		});

		it.each([
			[{ ...member, subject: "" }, "INVALID: a subject is 1 to 128 visible ASCII characters"],
			[{ ...member, subject: "a b" }, "INVALID: a subject is 1 to 128 visible ASCII characters"],
			[{ ...member, workspace: "a:b" }, "INVALID: a workspace is 1 to 64 letters, digits, dots, hyphens and underscores"],
			[{ ...member, roles: [] }, "INVALID: a token needs a role"],
			[{ ...member, expiresAt: 1 }, "INVALID: a token must expire in the future"],
		])("is not issued for %j", async (settings, message) => {
			expect(await refusal(a.service.issue(settings))).toBe(message);
		});

		it("is on the list without its hash, with the time it was revoked at", async () => {
			const { credentialId } = await a.service.issue({ ...member, subject: "listed" });
			await b.service.revoke(credentialId);
			const found = (await a.service.list()).find((each) => each.credentialId === credentialId);
			expect(found).toEqual({
				credentialId,
				subject: "listed",
				roles: ["member"],
				workspace: "alpha",
				createdAt: expect.any(Number),
				expiresAt: null,
				revokedAt: expect.any(Number),
			});
		});
	});

	describe("revoking", () => {
		it("ends a token at once on every worker, which are told, and works once", async () => {
			const { token, credentialId } = await a.service.issue(member);
			await b.service.fromToken(token);
			expect(await a.service.revoke(credentialId)).toBe(true);
			expect(await refusal(a.service.fromToken(token))).toBe(refused);
			await until(() => b.revoked.includes(credentialId));
			expect(await refusal(b.service.fromToken(token))).toBe(refused);
			expect(await a.service.revoke(credentialId)).toBe(false);
			expect(await a.service.revoke("unknown")).toBe(false);
		});

		it("reaches a worker within five seconds that did not hear of it", async () => {
			const { token, credentialId } = await a.service.issue(member);
			await b.service.fromToken(token);
			// As by a worker that dies after its commit.
			await rows("update tokens set revoked_at = now() where credential_id = $1", [credentialId]);
			const begun = performance.now();
			await until(() => b.revoked.includes(credentialId));
			expect(performance.now() - begun).toBeLessThan(5_000);
			expect(await refusal(b.service.fromToken(token))).toBe(refused);
		});

		it("wins over a look-up that began before it", async () => {
			const { token, credentialId } = await a.service.issue(member);
			const early = b.service.fromToken(token).catch(() => {});
			await a.service.revoke(credentialId);
			await early;
			await until(() => b.revoked.includes(credentialId));
			for (let time = 0; time < 20; time += 1) {
				expect(await refusal(b.service.fromToken(token))).toBe(refused);
				await sleep(10);
			}
		});

		it("is told again for a while, for a socket that was let in just before", async () => {
			const { credentialId } = await a.service.issue(member);
			await a.service.revoke(credentialId);
			await until(() => b.revoked.filter((each) => each === credentialId).length >= 2);
		});

		it("is not told to who does not listen any more", async () => {
			const heard: string[] = [];
			const stop = a.service.onRevoked((credentialId) => heard.push(credentialId));
			stop();
			const { credentialId } = await a.service.issue(member);
			await a.service.revoke(credentialId);
			expect(a.revoked).toContain(credentialId);
			expect(heard).toEqual([]);
		});
	});

	describe("a login code", () => {
		const codeOf = async (settings: Parameters<IdentityWorker["service"]["issue"]>[0] = member) => {
			const { credentialId } = await a.service.issue(settings);
			return { credentialId, ...(await a.service.loginCode(credentialId)) };
		};

		it("begins a session of its token's holder on any worker, once", async () => {
			const { code, expiresAt } = await codeOf();
			expect(code).toMatch(/^[\w-]{32}$/);
			expect(Math.abs(expiresAt - Date.now() - 600_000)).toBeLessThan(1_000);
			const { sessionId, principal } = await b.service.loginWithCode(code);
			expect(principal).toMatchObject({ id: "session:alice", roles: ["member"], workspace: "alpha" });
			expect((await a.service.fromSession(sessionId)).id).toBe("session:alice");
			for (const { service } of [a, b]) expect(await refusal(service.loginWithCode(code))).toBe(refused);
		});

		it("lets in one of all who come with it at the same time", async () => {
			const { code } = await codeOf();
			const tries = await Promise.all(Array.from({ length: 20 }, (_, index) => refusal((index % 2 ? a : b).service.loginWithCode(code))));
			expect(tries.filter((each) => each === refused)).toHaveLength(19);
		});

		it("is in Redis as a hash, for ten minutes and no longer than its token", async () => {
			const { code } = await codeOf();
			const key = `af:login:${createHash("sha256").update(code).digest("base64url")}`;
			const left = async () => Number(await rig.redis.server.command("PTTL", key));
			expect(await left()).toBeGreaterThan(595_000);
			expect(await left()).toBeLessThanOrEqual(600_000);
			expect(await rig.redis.server.command("KEYS", `*${code}*`)).toEqual([]);
			const short = await codeOf({ ...member, expiresAt: Date.now() + 5_000 });
			expect(short.expiresAt).toBeLessThanOrEqual(Date.now() + 5_000);
			await rig.redis.server.command("PEXPIRE", key, 30);
			await sleep(50);
			expect(await refusal(b.service.loginWithCode(code))).toBe(refused);
		});

		it("is refused in the same words, whatever is wrong with it", async () => {
			for (const bad of ["", "x", "A".repeat(32), "*", `${"A".repeat(31)}\n`, "A".repeat(2_000)])
				expect(await refusal(a.service.loginWithCode(bad)), bad).toBe(refused);
		});

		it("is worth nothing once its token is revoked, and so is the session that it began", async () => {
			const { code, credentialId } = await codeOf();
			const { code: other } = await a.service.loginCode(credentialId);
			const { sessionId, principal } = await b.service.loginWithCode(code);
			await a.service.revoke(credentialId);
			expect(await refusal(a.service.loginWithCode(other))).toBe(refused);
			await until(() => b.revoked.includes(principal.credentialId));
			expect(await refusal(b.service.fromSession(sessionId))).toBe(refused);
		});

		it("is not made for a token that is none, or is over", async () => {
			const { credentialId } = await a.service.issue(member);
			await a.service.revoke(credentialId);
			const ended = await a.service.issue({ ...member, expiresAt: Date.now() + 50 });
			await sleep(60);
			for (const id of [credentialId, ended.credentialId, "unknown"])
				expect(await refusal(b.service.loginCode(id))).toBe("NOT_FOUND: there is no such token that is still good");
		});
	});

	describe("a session", () => {
		it("is the token's holder on every worker, under a new id at every login", async () => {
			const { token } = await a.service.issue(member);
			const one = await a.service.login(token);
			const other = await a.service.login(token);
			expect(one.sessionId).toMatch(/^[\w-]{43}$/);
			expect(other.sessionId).not.toBe(one.sessionId);
			expect(one.maxAgeSeconds).toBe(6);
			const principal = await b.service.fromSession(one.sessionId);
			expect(principal).toMatchObject({
				id: "session:alice",
				roles: ["member"],
				workspace: "alpha",
				credentialId: one.principal.credentialId,
			});
			expect(Math.abs((principal.expiresAt as number) - Date.now() - 6_000)).toBeLessThan(500);
			expect(principal.credentialId).not.toContain(one.sessionId);
			expect(await rig.redis.server.command("KEYS", `*${one.sessionId}*`)).toEqual([]);
		});

		it("needs a good token to begin, and no nonsense as its id", async () => {
			expect(await refusal(a.service.login("nonsense"))).toBe(refused);
			for (const bad of ["", "x", "A".repeat(43), "*", `${"A".repeat(42)}\n`])
				expect(await refusal(a.service.fromSession(bad))).toBe(refused);
			await a.service.logout("nonsense");
		});

		it("ends with logout on every worker, which are told, and the others of its token do not", async () => {
			const { token } = await a.service.issue(member);
			const [one, other] = [await a.service.login(token), await a.service.login(token)];
			await b.service.fromSession(one.sessionId);
			await b.service.fromSession(other.sessionId);
			await a.service.logout(one.sessionId);
			expect(await refusal(a.service.fromSession(one.sessionId))).toBe(refused);
			await until(() => b.revoked.includes(one.principal.credentialId));
			expect(await refusal(b.service.fromSession(one.sessionId))).toBe(refused);
			expect((await b.service.fromSession(other.sessionId)).id).toBe("session:alice");
			expect(b.revoked).not.toContain(other.principal.credentialId);
		});

		it("ends with its token, and so do the sockets of both", async () => {
			const { token, credentialId } = await a.service.issue(member);
			const { sessionId, principal } = await a.service.login(token);
			await b.service.fromSession(sessionId);
			await a.service.revoke(credentialId);
			await until(() => b.revoked.includes(credentialId) && b.revoked.includes(principal.credentialId));
			for (const { service } of [a, b]) expect(await refusal(service.fromSession(sessionId))).toBe(refused);
		});

		it("lasts no longer than its token", async () => {
			const { token } = await a.service.issue({ ...member, expiresAt: Date.now() + 1_000 });
			const { sessionId, maxAgeSeconds, principal } = await a.service.login(token);
			expect(maxAgeSeconds).toBeLessThanOrEqual(1);
			expect(principal.expiresAt).toBeLessThanOrEqual(Date.now() + 1_000);
			await sleep(1_050);
			expect(await refusal(a.service.fromSession(sessionId))).toBe(refused);
		});

		it("ends when it is not used, lives on when it is, and ends at last however much it is", async () => {
			const idle = identityWorker(rig.redis, rig.worker().database, { idleMs: 1_500, longestMs: 1_000_000 });
			const capped = identityWorker(rig.redis, rig.worker().database, { idleMs: 15_000, longestMs: 8_000 });
			const { token } = await a.service.issue(member);
			const [used, unused, used2] = [await idle.service.login(token), await idle.service.login(token), await capped.service.login(token)];
			// What a worker knows of a session it does not ask for: other workers find out.
			const askedBy = (service: IdentityWorker["service"], { sessionId }: { sessionId: string }) => refusal(service.fromSession(sessionId));
			const fresh = Array.from({ length: 6 }, () =>
				identityWorker(rig.redis, rig.worker().database, { idleMs: 1_500, longestMs: 1_000_000 }),
			);
			for (const { service } of fresh) {
				await sleep(700);
				expect(await askedBy(service, used)).toMatch(/^not refused/);
			}
			expect(await askedBy((fresh[0] as IdentityWorker).service, unused)).toBe(refused);
			expect(await askedBy(capped.service, used2)).toMatch(/^not refused/);
			await sleep(4_500);
			expect(await askedBy(capped.service, used2)).toBe(refused);
			for (const worker of [idle, capped, ...fresh]) worker.stop();
		});

		it("is told to have ended to a worker that did not hear of it", async () => {
			const { token } = await a.service.issue(member);
			const { sessionId, principal } = await a.service.login(token);
			await b.service.fromSession(sessionId);
			const deaf = identityWorker(rig.redis, rig.worker().database);
			deaf.subscriber.disconnect();
			await deaf.service.fromSession(sessionId);
			await a.service.logout(sessionId);
			await until(() => deaf.revoked.includes(principal.credentialId));
			expect(await refusal(deaf.service.fromSession(sessionId))).toBe(refused);
			deaf.stop();
		});
	});

	it("says that sessions are not available while Redis is away, and lets tokens in", async () => {
		const { token } = await a.service.issue(member);
		const { sessionId } = await a.service.login(token);
		await sleep(2_100);
		await rig.redis.server.kill9();
		expect((await b.service.fromToken(token)).id).toBe("token:alice");
		const begun = performance.now();
		expect(await refusal(b.service.fromSession(sessionId))).toBe("UNAVAILABLE: sessions cannot be reached");
		expect(performance.now() - begun).toBeLessThan(2_500);
		const { credentialId, token: other } = await b.service.issue(member);
		expect((await a.service.fromToken(other)).credentialId).toBe(credentialId);
		await b.service.revoke(credentialId);
		const revoking = performance.now();
		await until(async () => (await refusal(a.service.fromToken(other))) === refused);
		await until(() => a.revoked.includes(credentialId));
		expect(performance.now() - revoking).toBeLessThan(5_000);
		await rig.redis.server.start();
		await until(async () => (await refusal(a.service.login(token))).startsWith("not refused"));
	});
});

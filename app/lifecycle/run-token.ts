import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Redis } from "ioredis";
import { ConfigError, readTokenConfig, type TokenConfig } from "../config.ts";
import { secretFiles } from "../contract.ts";
import { ServiceError, type TokenService } from "../ports.ts";
import { REVOKED_CHANNEL, tokenService } from "../services/tokens.ts";
import { LoginCodeStore } from "../stores/login-codes.ts";
import { noKeeper } from "../stores/lsn.ts";
import { lsnConnection, redisLsnKeeper } from "../stores/lsn-keeper.ts";
import { connectDatabase, type Database } from "../stores/postgres.ts";
import { connectRedis } from "../stores/redis.ts";
import { postgresCredentials } from "../stores/secrets.ts";
import { TokenStore } from "../stores/tokens.ts";
import { POSITION_TTL_MS, redisSettings } from "./part-settings.ts";
import { readTokenCommand, type TokenCommand, TokenMistake, USAGE } from "./token-command.ts";

/** Redis is waited for so long, milliseconds. */
const PATIENCE_MS = 3_000;

const DAY_MS = 86_400_000;

/**
 * The command `token`: prints its answer as one line of JSON.
 *
 * @param argv the words after `token`
 * @returns the exit code: 2 for a mistake of whoever types, 1 where what it needs is away
 * @throws ConfigError with every fault
 */
export async function runToken(environment: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
	let desk: Desk | undefined;
	try {
		const command = readTokenCommand(argv);
		if (command.name === "help") {
			console.log(USAGE);
			return 0;
		}
		const config = readTokenConfig(environment);
		desk = await openDesk(config, command);
		console.log(JSON.stringify(await answerTo(command, desk.tokens)));
		return 0;
	} catch (error) {
		if (error instanceof ConfigError) throw error;
		const mistake = mistakeOf(error);
		console.error(mistake?.message ?? `token: ${reasonOf(error, desk?.trouble())}`);
		return mistake === null ? 1 : 2;
	} finally {
		await desk?.close();
	}
}

async function answerTo(command: Exclude<TokenCommand, { name: "help" }>, tokens: TokenService): Promise<unknown> {
	switch (command.name) {
		case "issue": {
			const { subject, roles, workspace, days } = command;
			const expiresAt = days === null ? null : Date.now() + days * DAY_MS;
			const { token, credentialId } = await tokens.issue({ subject, roles, workspace, expiresAt });
			return { token, credentialId, subject, roles, workspace, expiresAt };
		}
		case "list":
			return await tokens.list();
		case "revoke":
			return { revoked: await tokens.revoke(command.credentialId) };
		case "login":
			return await tokens.loginCode(command.credentialId);
	}
}

interface Desk {
	readonly tokens: TokenService;
	/** What the primary was last found to be away for. */
	trouble(): unknown;
	close(): Promise<void>;
}

/** Connects to what the command needs. Where Redis is away all but `login` go on: workers look for what they did not hear of. */
async function openDesk(config: TokenConfig, command: TokenCommand): Promise<Desk> {
	const settings = redisSettings(config, "state");
	const redis = connectRedis(settings, "token", { commandTimeout: PATIENCE_MS });
	const positions = config.postgres.replicas.length === 0 ? null : connectRedis(settings, "token-positions", lsnConnection);
	let trouble: unknown;
	const database = openDatabase(config, positions, (_, error) => {
		trouble = error;
	});
	const close = async () => {
		redis.disconnect();
		positions?.disconnect();
		await database.close();
	};
	if (command.name !== "list") {
		const reachable = await ready([redis, ...(positions === null ? [] : [positions])]);
		if (!reachable && command.name === "login") {
			await close();
			throw new ServiceError("UNAVAILABLE", "the state Redis cannot be reached: see REDIS_STATE");
		}
	}
	const tokens = tokenService({
		tokens: new TokenStore(database),
		codes: new LoginCodeStore(redis),
		async announce(credentialId) {
			try {
				await redis.publish(REVOKED_CHANNEL, credentialId);
			} catch {
				console.error("token: Redis cannot be reached, so the workers find out by themselves, within five seconds");
			}
		},
	});
	return { tokens, close, trouble: () => trouble };
}

function openDatabase(
	{ postgres, secretsDir }: TokenConfig,
	positions: Redis | null,
	problem: (what: string, error: unknown) => void,
): Database {
	return connectDatabase(
		{
			...postgres,
			credentials: () => postgresCredentials(path.join(secretsDir, secretFiles.postgres)),
			applicationName: "agentic-flow token",
			pool: { primary: 2, replica: 1 },
			timeoutsMs: { connect: 5_000, statement: 5_000, lock: 2_000, idleInTransaction: 5_000 },
			staleMs: 3_000,
			monitorMs: 500,
		},
		positions === null ? noKeeper : redisLsnKeeper(positions, POSITION_TTL_MS),
		{ fallback() {}, unkept() {}, statement: () => () => {}, problem },
	);
}

async function ready(connections: readonly Redis[]): Promise<boolean> {
	const isReady = () => connections.every(({ status }) => status === "ready");
	for (const end = performance.now() + PATIENCE_MS; !isReady() && performance.now() < end; ) await sleep(20);
	return isReady();
}

function mistakeOf(error: unknown): TokenMistake | null {
	if (error instanceof TokenMistake) return error;
	if (!(error instanceof ServiceError)) return null;
	if (error.code === "INVALID") return new TokenMistake("the token cannot be issued", error.message, "change that, and run it again");
	if (error.code === "NOT_FOUND")
		return new TokenMistake(error.message, "it was never issued, has been revoked, or has ended", "run `token list`, or issue a new one");
	return null;
}

/** PostgreSQL's word for a table that is not there: https://www.postgresql.org/docs/17/errcodes-appendix.html */
const NO_TABLE = "42P01";

function reasonOf(error: unknown, trouble: unknown): string {
	const { message, code, cause = trouble } = error as Error & { readonly code?: unknown };
	if (code === NO_TABLE) return "the database has no tables yet: run `node main.ts migrate` first";
	return cause instanceof Error && cause.message !== "" ? `${message} (${cause.message})` : message;
}

import { hash, randomBytes } from "node:crypto";
import { redisKeys } from "../contract.ts";
import { ServiceError, type TokenService } from "../ports.ts";
import type { LoginCodeStore } from "../stores/login-codes.ts";
import type { TokenStore } from "../stores/tokens.ts";

/** Where workers hear which credential has ended. */
export const REVOKED_CHANNEL = `${redisKeys.all}revoked`;

/** For how long a login code is good, milliseconds, unless its token ends before. */
const CODE_LIFE_MS = 600_000;

export interface TokenParts {
	readonly tokens: TokenStore;
	readonly codes: LoginCodeStore;
	/** Tells all workers that a credential has ended. Those that do not hear it find out by looking. */
	readonly announce: (credentialId: string) => Promise<void>;
}

/** Secrets are told once and kept as hashes: who reads them where they are kept cannot use them. */
export function tokenService({ tokens, codes, announce }: TokenParts): TokenService {
	return {
		async issue({ subject, roles, workspace, expiresAt }) {
			if (!/^[\x21-\x7e]{1,128}$/.test(subject)) throw new ServiceError("INVALID", "a subject is 1 to 128 visible ASCII characters");
			if (!/^[\w.-]{1,64}$/.test(workspace))
				throw new ServiceError("INVALID", "a workspace is 1 to 64 letters, digits, dots, hyphens and underscores");
			if (roles.length === 0) throw new ServiceError("INVALID", "a token needs a role");
			if (expiresAt !== null && !(expiresAt > Date.now())) throw new ServiceError("INVALID", "a token must expire in the future");
			const credentialId = randomBytes(10).toString("hex");
			const secret = randomBytes(32).toString("base64url");
			await tokens.insert({ credentialId, hash: hashOf(secret), subject, roles: [...new Set(roles)], workspace, expiresAt });
			return { token: `af_${credentialId}_${secret}`, credentialId };
		},

		async revoke(credentialId) {
			const revoked = await tokens.revoke(credentialId);
			if (revoked) await announce(credentialId);
			return revoked;
		},

		async list() {
			const records = await tokens.list();
			return records.map(({ hash: _, leftMs: __, ...shown }) => shown);
		},

		async loginCode(credentialId) {
			const record = await tokens.find(credentialId);
			if (record === null || record.revokedAt !== null || (record.leftMs !== null && record.leftMs <= 0))
				throw new ServiceError("NOT_FOUND", "there is no such token that is still good");
			const lifeMs = Math.min(CODE_LIFE_MS, record.leftMs ?? CODE_LIFE_MS);
			const code = randomBytes(24).toString("base64url");
			await codes.put(codeHash(code), credentialId, lifeMs);
			return { code, expiresAt: Math.floor(Date.now() + lifeMs) };
		},
	};
}

/** 24 random bytes in base64url. */
const CODE = /^[A-Za-z0-9_-]{32}$/;

/** Uses a login code up. @returns the credential id of its token; null where it is no good */
export async function takeCode(codes: LoginCodeStore, code: string): Promise<string | null> {
	return CODE.test(code) ? await codes.take(codeHash(code)) : null;
}

export function hashOf(secret: string): Buffer {
	return hash("sha256", secret, "buffer");
}

function codeHash(code: string): string {
	return hashOf(code).toString("base64url");
}

import type { Role } from "../model.ts";
import type { Database } from "./postgres.ts";

/** A token as it is kept: its secret is nowhere. */
export interface TokenRecord {
	readonly credentialId: string;
	/** SHA-256 of the secret. */
	readonly hash: Buffer;
	readonly subject: string;
	readonly roles: readonly Role[];
	readonly workspace: string;
	readonly createdAt: number;
	readonly expiresAt: number | null;
	readonly revokedAt: number | null;
	/** Milliseconds it was still good for when it was read, by the database's clock; null for ever. */
	readonly leftMs: number | null;
}

export type NewToken = Pick<TokenRecord, "credentialId" | "hash" | "subject" | "roles" | "workspace" | "expiresAt">;

const COLUMNS = `credential_id as "credentialId", hash, subject, roles, workspace, created_at as "createdAt", expires_at as "expiresAt",
	revoked_at as "revokedAt", extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as "leftMs"`;

/** Issued tokens. Whoever looks one up sees what has been done to it, on whichever server. */
export class TokenStore {
	readonly #database: Database;

	constructor(database: Database) {
		this.#database = database;
	}

	async insert({ credentialId, hash, subject, roles, workspace, expiresAt }: NewToken): Promise<void> {
		await this.#database.write([writerOf(credentialId)], (client) =>
			client.query({
				name: "tokens-insert",
				text: `insert into tokens (credential_id, workspace, hash, subject, roles, created_at, expires_at)
					values ($1, $2, $3, $4, $5, now(), to_timestamp($6::float8 / 1000))`,
				values: [credentialId, workspace, hash, subject, roles, expiresAt],
			}),
		);
	}

	async find(credentialId: string): Promise<TokenRecord | null> {
		const [row] = await this.#database.read(writerOf(credentialId), (client) =>
			client.query<TokenRecord>({
				name: "tokens-find",
				text: `select ${COLUMNS} from tokens where credential_id = $1`,
				values: [credentialId],
			}),
		);
		return row ?? null;
	}

	/** @returns false where there is none, or it has been revoked already */
	async revoke(credentialId: string): Promise<boolean> {
		const revoked = await this.#database.write([writerOf(credentialId)], (client) =>
			client.query({
				name: "tokens-revoke",
				text: "update tokens set revoked_at = clock_timestamp() where credential_id = $1 and revoked_at is null returning 1 as revoked",
				values: [credentialId],
			}),
		);
		return revoked.length > 0;
	}

	/** The credentials revoked during the last milliseconds, and perhaps a few more. */
	async revokedWithin(milliseconds: number): Promise<string[]> {
		const rows = await this.#database.readPrimary((client) =>
			client.query<{ credentialId: string }>({
				name: "tokens-revoked",
				text: `select credential_id as "credentialId" from tokens where revoked_at > clock_timestamp() - $1::float8 * interval '1 millisecond'`,
				values: [milliseconds],
			}),
		);
		return rows.map(({ credentialId }) => credentialId);
	}

	/** Newest first. */
	async list(): Promise<TokenRecord[]> {
		return await this.#database.readPrimary((client) =>
			client.query<TokenRecord>({ name: "tokens-list", text: `select ${COLUMNS} from tokens order by created_at desc`, values: [] }),
		);
	}
}

/** Who looks for what was done to a token is whoever looks the token up. */
function writerOf(credentialId: string): string {
	return `credential:${credentialId}`;
}

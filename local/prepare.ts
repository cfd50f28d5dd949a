/** Makes a topology's folder ready: secrets, the certificate of the TLS origin, and whose which folder is. */
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Layout } from "./place.ts";
import { run } from "./processes.ts";
import { readSecrets, type Secrets, secretFilesOf, writePrivate } from "./secrets.ts";
import type { User } from "./services/service.ts";

/** Least space for data and logs, MiB. */
export const LEAST_MIB = 512;

/** @returns MiB that are free where the folder is, or will be */
export function freeMib(folder: string): number {
	const { bavail, bsize } = statfsSync(existing(folder));
	return Math.floor((bavail * bsize) / 1_048_576);
}

function existing(folder: string): string {
	return existsSync(folder) ? folder : existing(path.dirname(folder));
}

/** Makes what is missing. What is there stays. */
export async function prepare(layout: Layout, postgres: User | undefined, openssl: string): Promise<Secrets> {
	makeFolder(layout, postgres);
	const secrets = readSecrets(layout);
	for (const [file, text] of Object.entries(secretFilesOf(secrets))) writePrivate(path.join(layout.secrets, file), text);
	writePrivate(layout.postgresData("password"), secrets.postgresAdmin, postgres);
	writePrivate(layout.postgresData("pgpass"), `*:*:*:postgres:${secrets.postgresAdmin}\n`, postgres);
	if (!existsSync(layout.certificate)) await makeCertificate(layout.certificate, openssl);
	return secrets;
}

/** Others may pass through to what is theirs, where PostgreSQL is somebody else; nobody may look around. */
function makeFolder({ folder, logs, postgresActive }: Layout, postgres: User | undefined): void {
	mkdirSync(folder, { recursive: true });
	chmodSync(folder, postgres ? 0o711 : 0o700);
	mkdirSync(logs, { recursive: true, mode: 0o700 });
	const data = path.dirname(postgresActive);
	mkdirSync(data, { recursive: true, mode: 0o700 });
	if (postgres) chownSync(data, postgres.uid, postgres.gid);
}

const DAYS = 825;

/** A key and a certificate for this machine's own names, in one file, as HAProxy wants it. */
async function makeCertificate(file: string, openssl: string): Promise<void> {
	const folder = path.dirname(file);
	mkdirSync(folder, { recursive: true, mode: 0o700 });
	const [key, certificate] = [path.join(folder, "key.pem"), path.join(folder, "certificate.pem")];
	const names = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1";
	const kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", String(DAYS)];
	const args = [...kind, "-subj", "/CN=localhost", "-addext", names, "-keyout", key, "-out", certificate];
	await run({ program: openssl, args }, folder);
	writeFileSync(`${file}.new`, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
	renameSync(`${file}.new`, file);
	rmSync(key);
}

import path from "node:path";
import { ConfigError, readImportConfig } from "../config.ts";
import { secretFiles } from "../contract.ts";
import { importFiles } from "../import/import.ts";
import { Loader } from "../import/loader.ts";
import { postgresCredentials } from "../stores/secrets.ts";
import { IMPORT_USAGE, type ImportCommand, ImportMistake, readImportCommand } from "./import-command.ts";
import { describeAll, describeSource, progressOn } from "./import-report.ts";

/** As shells have it for a process that was interrupted. */
const INTERRUPTED = 130;

/**
 * The command `import`: what became of each file on stdout, how far it is on stderr.
 *
 * @param argv the words after `import`
 * @returns the exit code: 0 where every file was imported, 1 where one was refused or PostgreSQL is away, 2 for a mistake of
 *   whoever types
 * @throws ConfigError with every fault
 */
export async function runImport(environment: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
	// What is under way is rolled back with the connection, and the private copies go with the process.
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(INTERRUPTED));
	try {
		const command = readImportCommand(argv);
		if (command.name === "help") {
			console.log(IMPORT_USAGE);
			return 0;
		}
		return await importWith(environment, command);
	} catch (error) {
		if (error instanceof ConfigError) throw error;
		console.error(error instanceof ImportMistake ? error.message : `import: ${reasonOf(error)}`);
		return error instanceof ImportMistake ? 2 : 1;
	}
}

async function importWith(environment: NodeJS.ProcessEnv, command: Exclude<ImportCommand, { name: "help" }>): Promise<number> {
	const { postgres, secretsDir } = readImportConfig(environment);
	const { paths, workspace, dryRun, json, options } = command;
	const credentials = await postgresCredentials(path.join(secretsDir, secretFiles.postgres));
	const loader = await Loader.open({ ...postgres, credentials, workspace, dryRun });
	const progress = progressOn(process.stderr);
	try {
		const results = await importFiles(paths, options, loader, {
			rows: progress.rows,
			done(result) {
				progress.clear();
				if (!json) process.stdout.write(describeSource(result, dryRun));
			},
		});
		process.stdout.write(json ? `${JSON.stringify({ workspace, dryRun, sources: results })}\n` : describeAll(results, dryRun));
		return results.some(({ status }) => status === "refused") ? 1 : 0;
	} finally {
		progress.clear();
		await loader.close();
	}
}

/** PostgreSQL's words for a table that is not there, and for one that this role may not use. */
const NO_TABLES: readonly unknown[] = ["42P01", "42501"];

function reasonOf(error: unknown): string {
	const { message, code } = error as Error & { readonly code?: unknown };
	if (NO_TABLES.includes(code)) return `the database is not as this build wants it (${message}): run \`node main.ts migrate\` first`;
	return `PostgreSQL: ${message}; what was imported before stays, so run it again when that is mended`;
}

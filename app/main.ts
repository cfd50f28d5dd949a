/**
 * The server's one entry point.
 *
 *     node main.ts server | migrate | jobs | terminal-host
 *     node main.ts token issue | list | revoke | login ...
 *
 * `worker` is what `server` has PM2 start. Exit code 2: the settings are wrong, or there is no such role or command.
 */
import { enableCompileCache } from "node:module";
import { ConfigError } from "./config.ts";

/** What it returns is the exit code; nothing where the process lives on until it is told to stop. */
type Run = (environment: NodeJS.ProcessEnv) => Promise<number | undefined>;

const roles: Readonly<Record<string, Run>> = {
	server: async (environment) => (await import("./lifecycle/pod.ts")).runPod(environment),
	worker: async (environment) => void (await (await import("./lifecycle/worker.ts")).runWorker(environment)),
	migrate: async (environment) => (await import("./lifecycle/run-migrate.ts")).runMigrate(environment),
	jobs: async (environment) => void (await (await import("./lifecycle/placeholder.ts")).runPlaceholder("jobs", environment)),
	"terminal-host": async () => fail("cannot start: this build hosts no terminals; switch them off where it is deployed"),
};

// A worker that comes back after a crash is not to spend its first second on parsing what it had parsed before.
enableCompileCache();

const run = chosen(process.argv.slice(2));
if (run === undefined)
	fail(
		`usage: node main.ts ${Object.keys(roles)
			.filter((name) => name !== "worker")
			.join(" | ")} | token`,
	);
try {
	const code = await run(process.env);
	if (code !== undefined) process.exit(code);
} catch (error) {
	if (error instanceof ConfigError) fail(error.message);
	throw error;
}

/** The role is the last argument: under PM2 its own come first. `token` has arguments after it. */
function chosen(argv: readonly string[]): Run | undefined {
	if (argv[0] === "token") return async (environment) => (await import("./lifecycle/run-token.ts")).runToken(environment, argv.slice(1));
	const role = argv.at(-1) ?? "";
	return Object.hasOwn(roles, role) ? roles[role] : undefined;
}

function fail(message: string): never {
	console.error(message);
	process.exit(2);
}

/**
 * The server's one entry point.
 *
 *     node main.ts server | migrate | jobs | terminal-host
 *     node main.ts token issue | list | revoke | login ...
 *     node main.ts import PATH...
 *
 * `worker` is what `server` has PM2 start, `suspects` what `jobs` starts where it must. Exit code 2: the settings are wrong, or there is no such role or command.
 */
import { enableCompileCache } from "node:module";
import { ConfigError } from "./config.ts";

/** What it returns is the exit code; nothing where the process lives on until it is told to stop. */
type Run = (environment: NodeJS.ProcessEnv) => Promise<number | undefined>;

const roles: Readonly<Record<string, Run>> = {
	server: async (environment) => (await import("./lifecycle/pod.ts")).runPod(environment),
	worker: async (environment) => void (await (await import("./lifecycle/worker.ts")).runWorker(environment)),
	migrate: async (environment) => (await import("./lifecycle/run-migrate.ts")).runMigrate(environment),
	jobs: async (environment) => void (await (await import("./lifecycle/jobs.ts")).runJobs(environment)),
	suspects: async (environment) => void (await (await import("./lifecycle/jobs.ts")).runSuspects(environment)),
	"terminal-host": async (environment) => (await import("./lifecycle/terminal-host.ts")).runTerminalHost(environment),
};

/** Commands have arguments after them. */
const commands: Readonly<Record<string, (environment: NodeJS.ProcessEnv, argv: readonly string[]) => Promise<number>>> = {
	token: async (environment, argv) => (await import("./lifecycle/run-token.ts")).runToken(environment, argv),
	import: async (environment, argv) => (await import("./lifecycle/run-import.ts")).runImport(environment, argv),
};

// A worker that comes back after a crash is not to spend its first second on parsing what it had parsed before.
enableCompileCache();

const run = chosen(process.argv.slice(2));
if (run === undefined)
	fail(
		`usage: node main.ts ${Object.keys(roles)
			.filter((name) => name !== "worker" && name !== "suspects")
			.join(" | ")} | token | import`,
	);
try {
	const code = await run(process.env);
	if (code !== undefined) process.exit(code);
} catch (error) {
	if (error instanceof ConfigError) fail(error.message);
	throw error;
}

/** A command comes first; a role is the last argument: under PM2 its own come before. */
function chosen([first = "", ...rest]: readonly string[]): Run | undefined {
	const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
	if (command !== undefined) return (environment) => command(environment, rest);
	const role = rest.at(-1) ?? first;
	return Object.hasOwn(roles, role) ? roles[role] : undefined;
}

function fail(message: string): never {
	console.error(message);
	process.exit(2);
}

/**
 * Makes a fresh clone ready, then runs a command. Built-ins only, on any Node >= 20: it runs before anything is installed.
 *
 *     node scripts/setup.mjs [--system <debian packages>] [--want <debian packages>] [-- <command> ...]
 *
 * It installs the npm packages when they differ from package-lock.json. `--system` names Debian packages (comma-separated)
 * without which the command cannot run; `--want` those without which it can do less. A command that is a script of this
 * project runs under the project's own Node, another one comes from node_modules/.bin or the PATH.
 * Exit code: the command's own, or 2 when it could not be started.
 */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";

const OLDEST_NODE = 20;
const root = path.dirname(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname));
const bin = path.join(root, "node_modules", ".bin");
const projectNode = path.join(bin, "node");

/** How to get programs that neither npm nor Debian has. */
const howToInstall = new Map([["pulumi", "install it as https://www.pulumi.com/docs/install/ says, then run the command again"]]);

/** What, why and how to fix: all that a reader is told. */
class SetupError extends Error {
	/** @param {{what: string, why: string, fix: string}} fault */
	constructor({ what, why, fix }) {
		super(`setup: ${what}\n  why: ${why}\n  fix: ${fix}`);
	}
}

try {
	const { system, want, command } = parseArguments(process.argv.slice(2));
	requireNode();
	if (!isInstalled()) await alone(async () => isInstalled() || (await installPackages()));
	await installSystem(system, (fault) => {
		throw new SetupError(fault);
	});
	await installSystem(want, ({ what, why, fix }) => say(`${what}; going on without (${why}; to change that: ${fix})`));
	if (command.length > 0) process.exitCode = await runCommand(command);
} catch (error) {
	if (!(error instanceof SetupError)) throw error;
	console.error(error.message);
	process.exitCode = 2;
}

/** @param {string[]} argv */
function parseArguments(argv) {
	const end = argv.indexOf("--");
	const options = end < 0 ? argv : argv.slice(0, end);
	const parsed = { system: /** @type {string[]} */ ([]), want: /** @type {string[]} */ ([]), command: end < 0 ? [] : argv.slice(end + 1) };
	for (let index = 0; index < options.length; index += 2) {
		const [option, value] = [options[index], options[index + 1]];
		if ((option !== "--system" && option !== "--want") || !value) {
			throw new SetupError({
				what: `cannot use "${options.slice(index).join(" ")}"`,
				why: "the only options are --system and --want, each with a list of Debian packages",
				fix: "node scripts/setup.mjs [--system haproxy,...] [--want haproxy,...] [-- command ...]",
			});
		}
		parsed[option === "--system" ? "system" : "want"].push(...value.split(",").filter(Boolean));
	}
	return parsed;
}

function requireNode() {
	if (Number.parseInt(process.versions.node, 10) >= OLDEST_NODE) return;
	throw new SetupError({
		what: `this is Node ${process.versions.node}`,
		why: `npm and this set-up need Node ${OLDEST_NODE} or later; the project's own Node is then installed beside it`,
		fix: `install Node ${OLDEST_NODE} or later (https://nodejs.org/en/download)`,
	});
}

/**
 * Whether node_modules holds what package-lock.json asks for. npm writes its own lock file into node_modules as the last
 * step of an installation, so one that was cut short counts as none. Packages for other platforms are optional and absent.
 */
function isInstalled() {
	if (!existsSync(projectNode)) return false;
	const wanted = packagesIn("package-lock.json");
	const present = packagesIn(path.join("node_modules", ".package-lock.json"));
	return Object.entries(wanted).every(([where, { version, integrity, optional, devOptional }]) => {
		const found = present[where];
		return where === "" || (found ? found.version === version && found.integrity === integrity : optional || devOptional);
	});
}

/**
 * @param {string} file
 * @returns {Record<string, {version?: string, integrity?: string, optional?: boolean, devOptional?: boolean}>}
 */
function packagesIn(file) {
	try {
		return JSON.parse(readFileSync(path.join(root, file), "utf8")).packages;
	} catch {
		return {}; // absent or half written: nothing there
	}
}

async function installPackages() {
	const started = Date.now();
	say("installing npm packages, once after each change of package-lock.json (about half a minute)");
	// The machine's own npm and Node: node_modules/.bin is about to be replaced.
	const PATH = (process.env.PATH ?? "")
		.split(path.delimiter)
		.filter((folder) => !folder.includes("node_modules"))
		.join(path.delimiter);
	const env = { ...process.env, PATH };
	// Packages may ask for a newer Node than the machine's: they run under the project's, so engines are not checked.
	const { code, signal, output } = await run("npm", ["ci", "--engine-strict=false", "--no-audit", "--no-fund"], { cwd: root, env });
	if (signal) process.exit(128 + os.constants.signals[signal]);
	if (code !== 0) {
		throw new SetupError({
			what: `npm ci failed with exit code ${code}`,
			why: indent(output.replace(/^npm warn .*\n/gm, "").trim() || "npm gave no reason"),
			fix: "mend what npm names above (network, registry, disk), then run the command again",
		});
	}
	if (!isInstalled()) {
		throw new SetupError({
			what: "npm ci left the packages incomplete",
			why: existsSync(projectNode) ? "node_modules differs from package-lock.json" : 'the install script of the package "node" did not run',
			fix: "check that `npm config get ignore-scripts` is false, then run the command again",
		});
	}
	say(`npm packages installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

/**
 * Runs `work` while no other set-up of this folder does. The lock is a socket, which the kernel frees with its process.
 * @param {() => Promise<unknown>} work
 */
async function alone(work) {
	const { default: net } = await import("node:net");
	const { createHash } = await import("node:crypto");
	const id = `agentic-flow-setup-${createHash("sha256").update(root).digest("hex").slice(0, 16)}`;
	const address = process.platform === "linux" ? `\0${id}` : path.join(os.tmpdir(), `${id}.sock`);
	const server = net.createServer();
	let told = false;
	for (;;) {
		const error = await new Promise((resolve) => {
			server.once("error", resolve).listen(address, () => resolve(undefined));
		});
		if (!error) break;
		if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EADDRINUSE") {
			throw new SetupError({ what: "cannot take the installation lock", why: String(error), fix: "run the command again" });
		}
		if (!told) say("another set-up is installing; waiting for it");
		told = true;
		await new Promise((resolve) => {
			const other = net.connect(address);
			other.once("close", resolve).resume(); // closes when the other set-up ends
			// Nobody listens: only where the socket is a file does that leave anything behind.
			other.once("error", () => process.platform === "linux" || rmSync(address, { force: true }));
		});
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
	/** @type {Set<import("node:net").Socket>} */
	const waiting = new Set();
	server.removeAllListeners("error").on("connection", (socket) => waiting.add(socket.on("error", () => {})));
	try {
		return await work();
	} finally {
		server.close();
		for (const socket of waiting) socket.destroy();
	}
}

/**
 * @param {string[]} packages
 * @param {(fault: {what: string, why: string, fix: string}) => void} giveUp
 */
async function installSystem(packages, giveUp) {
	const missing = packages.filter((name) => !isOnPath(name) && !isDebianPackage(name));
	if (missing.length === 0) return;
	const names = missing.join(", ");
	const what = `${names} ${missing.length > 1 ? "are" : "is"} not installed`;
	if (!isOnPath("apt-get")) {
		return giveUp({ what, why: "this machine has no apt-get", fix: `install ${names} with this system's package manager` });
	}
	const isRoot = process.getuid?.() === 0;
	const byHand = `${isRoot ? "" : "sudo "}apt-get update && ${isRoot ? "" : "sudo "}apt-get install -y --no-install-recommends ${missing.join(" ")}`;
	if (!isRoot && spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status !== 0) {
		return giveUp({ what, why: "installing needs root, and sudo would ask for a password", fix: byHand });
	}
	say(`installing ${names} with apt-get`);
	const steps = [["update"], ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", ...missing]];
	for (const step of steps) {
		const whole = [...(isRoot ? [] : ["sudo", "-n"]), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...step];
		const { code, signal, output } = await run(/** @type {string} */ (whole[0]), whole.slice(1));
		if (signal) process.exit(128 + os.constants.signals[signal]);
		if (code !== 0) return giveUp({ what, why: `apt-get ${step[0]} failed: ${indent(output.trim())}`, fix: byHand });
	}
}

/** @param {string} name */
function isOnPath(name) {
	const folders = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
	return folders.some((folder) => {
		try {
			accessSync(path.join(folder, name), constants.X_OK);
			return true;
		} catch {
			return false;
		}
	});
}

/** @param {string} name */
function isDebianPackage(name) {
	const { stdout } = spawnSync("dpkg-query", ["-W", "-f=${db:Status-Status}", name], { encoding: "utf8" });
	return stdout === "installed";
}

/** @param {string[]} command */
async function runCommand(command) {
	const [name, ...args] = /** @type {[string, ...string[]]} */ (command);
	const env = {
		// Loading the cloud SDKs takes half as long from compiled code.
		NODE_COMPILE_CACHE: path.join(root, "node_modules", ".cache", "node"),
		...process.env,
		PATH: [bin, process.env.PATH].filter(Boolean).join(path.delimiter),
	};
	const isScript = /\.(ts|mjs|js)$/.test(name);
	const [program, programArgs] = isScript ? [projectNode, [path.resolve(root, name), ...args]] : [name, args];
	const { code, signal } = await run(program, programArgs, { env, stdio: "inherit" });
	return signal ? 128 + os.constants.signals[signal] : (code ?? 1);
}

/**
 * Runs a program to its end, passing it the signals that ask this process to stop.
 * @param {string} program
 * @param {string[]} args
 * @param {import("node:child_process").SpawnOptions} [options] `stdio` is gathered into `output` unless it says otherwise
 * @returns {Promise<{code: number | null, signal: NodeJS.Signals | null, output: string}>}
 */
function run(program, args, options = {}) {
	const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
	let output = "";
	for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (output += chunk));
	/** @type {NodeJS.Signals[]} */
	const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
	/** @param {NodeJS.Signals} signal */
	const pass = (signal) => {
		// Ctrl-C in a terminal reaches the child by itself; a second one might mean "at once" to it.
		if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
	};
	for (const signal of signals) process.on(signal, pass);
	return new Promise((resolve, reject) => {
		child.once("error", (/** @type {NodeJS.ErrnoException} */ error) => {
			const absent = error.code === "ENOENT";
			reject(
				new SetupError({
					what: absent ? `"${program}" is not installed` : `"${program}" cannot be started`,
					why: absent ? "no such program is on the PATH" : error.message,
					fix: howToInstall.get(program) ?? "install it, then run the command again",
				}),
			);
		});
		child.once("close", (code, signal) => {
			for (const each of signals) process.off(each, pass);
			resolve({ code, signal, output });
		});
	});
}

/** @param {string} line */
function say(line) {
	process.stderr.write(`setup: ${line}\n`);
}

/** @param {string} text */
function indent(text) {
	return text.split("\n").slice(-30).join("\n       ");
}

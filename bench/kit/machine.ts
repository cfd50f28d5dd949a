/** On what something was measured. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import os from "node:os";

export interface MachineDescription {
	readonly processors: string;
	readonly memoryGib: number;
	readonly kernel: string;
	readonly node: string;
	readonly haproxy: string;
	readonly redis: string;
	readonly postgres: string;
}

export function describeMachine(postgresFolder: string | null): MachineDescription {
	const models = [...new Set(os.cpus().map(({ model }) => model.trim()))];
	return {
		processors: `${os.availableParallelism()} x ${models.join(", ") || "unknown"}`,
		memoryGib: Math.round(os.totalmem() / 1_073_741_824),
		kernel: `${os.type()} ${os.release().split("-")[0]}${system()}`,
		node: process.versions.node,
		haproxy: version("haproxy", ["-v"], /version (\d+\.\d+\.\d+)/),
		redis: version("redis-server", ["--version"], /v=(\S+)/),
		postgres: version(postgresFolder === null ? "postgres" : `${postgresFolder}/postgres`, ["--version"], /(\d+\.\d+)/),
	};
}

function system(): string {
	try {
		const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
		return name === undefined ? "" : `, ${name}`;
	} catch {
		return "";
	}
}

function version(program: string, args: readonly string[], pattern: RegExp): string {
	const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
	return pattern.exec(`${stdout}${stderr}`)?.[1] ?? "not found";
}

/** Builds the server's image as its Dockerfile says, on the base it names or, where no registry is in reach, on one made here. */
import { spawn } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { cache, hasImage, podman, run, succeed, which } from "./podman.ts";

export const root = path.join(import.meta.dirname, "..", "..");
const dockerfile = path.join(root, "app", "Dockerfile");

/** The version of Node that the project has of npm. */
export const nodeVersion: string = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).dependencies.node;

/** What the Dockerfile is based on where nothing is said. */
export const defaultBase = /^ARG BASE=(.+)$/m.exec(readFileSync(dockerfile, "utf8"))?.[1] ?? "";

/** The npm that comes with Node 24. */
const NPM = "npm@11.21.2";
const SUITE = "bookworm";
const ownBase = `localhost/agentic-flow-test-base:${nodeVersion}-${SUITE}`;

const PULL_SECONDS = 60;
const DEBOOTSTRAP_SECONDS = 480;
const BUILD_SECONDS = 300;

/** A base, or why there can be none. */
export async function findBase(): Promise<{ readonly base: string } | { readonly missing: string }> {
	for (const base of [defaultBase, ownBase]) if (await hasImage(base)) return { base };
	const pulled = await podman(["pull", "--quiet", defaultBase], PULL_SECONDS).catch(() => null);
	if (pulled !== null) return { base: defaultBase };
	const needs = `needs ${defaultBase}`;
	if (process.getuid?.() !== 0) return { missing: `${needs}, which cannot be pulled, or root, who can make one like it` };
	if (!which("debootstrap")) return { missing: `${needs}, which cannot be pulled, or debootstrap to make one like it` };
	try {
		await makeBase();
		return { base: ownBase };
	} catch (error) {
		return { missing: `${needs}, which cannot be pulled, nor made: ${String(error).split("\n").at(-1)}` };
	}
}

/** Debian's smallest system, the project's own Node, and npm. */
async function makeBase(): Promise<void> {
	const folder = mkdtempSync(path.join(cache, "base-"));
	const system = path.join(folder, "root");
	try {
		// What it mounts is gone with its namespace, however it ends.
		const debootstrap = [which("debootstrap") as string, "--variant=minbase", SUITE, system, ...(await debianMirror())];
		await succeed("unshare", ["--mount", ...debootstrap], DEBOOTSTRAP_SECONDS);
		const local = path.join(system, "usr", "local");
		copyFileSync(path.join(root, "node_modules", "node", "bin", "node"), path.join(local, "bin", "node"));
		chmodSync(path.join(local, "bin", "node"), 0o755);
		await succeed("npm", ["install", "--global", "--prefix", local, "--no-audit", "--no-fund", NPM], 120);
		const tar = spawn("tar", ["-C", system, "--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists", "-c", "."], {
			stdio: ["ignore", "pipe", "ignore"],
		});
		await podman(["import", "-", ownBase], 120, tar);
	} finally {
		await run("rm", ["-rf", "--one-file-system", folder], 60);
	}
}

/** Where this machine's own packages come from; nothing where that is not Debian. */
async function debianMirror(): Promise<string[]> {
	const { stdout } = await run("apt-get", ["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"], 30);
	return /^Debian (\S+)$/m.exec(stdout)?.slice(1) ?? [];
}

/**
 * @param target of the Dockerfile; its last one else
 * @returns the image's id
 */
export async function buildImage(base: string, target?: string): Promise<string> {
	const folder = mkdtempSync(path.join(tmpdir(), "af-image-"));
	try {
		const out = path.join(folder, "id");
		const args = ["--file", dockerfile, "--build-arg", `BASE=${base}`, "--pull=never", "--timestamp", "0", "--iidfile", out];
		// A sandbox in a sandbox may not do more.
		if (target !== undefined) args.push("--target", target);
		args.push("--isolation", "chroot", "--network", "host", "--layers");
		await podman(["build", ...args, ...(await secrets(folder)), root], BUILD_SECONDS);
		return readFileSync(out, "utf8").trim();
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

/** How npm finds its registry on this machine, and whom it trusts: for the build, never for the image. */
async function secrets(folder: string): Promise<string[]> {
	const npm = async (key: string) => {
		const value = (await run("npm", ["config", "get", key, "--workspaces=false"], 30)).stdout.trim();
		return value === "undefined" || value === "null" ? "" : value;
	};
	const own = await npm("userconfig");
	const lines = existsSync(own) ? readFileSync(own, "utf8").split("\n") : [];
	const registry = await npm("registry");
	const npmrc = [...(registry ? [`registry=${registry}`] : []), ...lines.filter((line) => /^(\/\/|@[^=]+:registry\s*=)/.test(line))];
	mkdirSync(folder, { recursive: true });
	writeFileSync(path.join(folder, "npmrc"), `${npmrc.join("\n")}\n`, { mode: 0o600 });
	const ca = [process.env.NODE_EXTRA_CA_CERTS, await npm("cafile")].find((file) => file && existsSync(file));
	return ["--secret", `id=npmrc,src=${path.join(folder, "npmrc")}`, ...(ca ? ["--secret", `id=ca,src=${ca}`] : [])];
}

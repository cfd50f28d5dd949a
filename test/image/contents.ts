/** What is in an image, and what of the repository ought to be. */
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pageFiles } from "../../app/http/routes/page.ts";
import { root } from "./build.ts";
import { podman, succeed } from "./podman.ts";

export interface Entry {
	/** From the root, without a slash before it. */
	readonly path: string;
	/** As `ls -l` writes it. */
	readonly mode: string;
	/** `uid/gid` */
	readonly owner: string;
	readonly size: number;
	readonly date: string;
}

/** Every file and folder of an image, in one file system; and the versions of its packages, by their folders below /srv. */
export async function contentsOf(image: string): Promise<{ readonly entries: readonly Entry[]; readonly packages: Map<string, string> }> {
	const folder = mkdtempSync(path.join(tmpdir(), "af-contents-"));
	const container = (await podman(["create", "--pull", "never", image])).trim();
	try {
		const tar = path.join(folder, "image.tar");
		await podman(["export", "--output", tar, container], 60);
		const list = await succeed("tar", ["--list", "--verbose", "--numeric-owner", "--utc", "--file", tar], 60);
		await succeed("tar", ["--extract", "--directory", folder, "--wildcards", "--file", tar, "srv/*/package.json"], 60);
		return { entries: list.trim().split("\n").map(entryOf), packages: packagesIn(path.join(folder, "srv")) };
	} finally {
		await podman(["rm", "--force", container]);
		rmSync(folder, { recursive: true, force: true });
	}
}

function entryOf(line: string): Entry {
	const [, mode, owner, size, date, name] = /^(\S+) (\S+) +(\d+) (\S+ \S+) (.+)$/.exec(line) as unknown as string[];
	return {
		path: (name as string).replace(/( -> .*)?\/?$/, ""),
		mode: mode as string,
		owner: owner as string,
		size: Number(size),
		date: date as string,
	};
}

function packagesIn(srv: string): Map<string, string> {
	const manifests = globSync("**/node_modules/{*,@*/*}/package.json", { cwd: srv });
	const packages = manifests.map((file): [string, string] => [
		path.dirname(file),
		JSON.parse(readFileSync(path.join(srv, file), "utf8")).version,
	]);
	return new Map(packages.filter(([folder]) => /(^|\/)node_modules\/(@[^/]+\/)?[^@/][^/]*$/.test(folder)));
}

interface Locked {
	readonly version: string;
	readonly dependencies?: Readonly<Record<string, string>>;
	readonly optionalDependencies?: Readonly<Record<string, string>>;
	readonly peerDependencies?: Readonly<Record<string, string>>;
	readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/**
 * The packages that the server depends on, itself or through others, by their folders in the lock file.
 *
 * @param optional also those that are used where they are there
 */
export function lockedPackages(optional: boolean): Map<string, string> {
	const locked: Readonly<Record<string, Locked>> = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
	const found = new Map<string, string>();
	const visit = (folder: string) => {
		for (const name of dependenciesOf(locked[folder] as Locked, optional)) {
			const where = placesOf(folder, name).find((place) => place in locked);
			if (where === undefined || found.has(where)) continue;
			found.set(where, (locked[where] as Locked).version);
			visit(where);
		}
	};
	visit("app");
	return found;
}

function dependenciesOf(locked: Locked, optional: boolean): string[] {
	const { dependencies = {}, peerDependencies = {}, peerDependenciesMeta = {}, optionalDependencies = {} } = locked;
	const all = Object.keys({ ...dependencies, ...peerDependencies, ...optionalDependencies });
	return optional ? all : all.filter((name) => !(name in optionalDependencies || peerDependenciesMeta[name]?.optional));
}

/** Where Node looks for a package, the nearest first. */
function placesOf(folder: string, name: string): string[] {
	const parts = folder === "" ? [] : folder.split("/");
	const folders = [...parts.keys(), parts.length].toReversed().map((length) => parts.slice(0, length));
	return folders.filter((names) => names.at(-1) !== "node_modules").map((names) => [...names, "node_modules", name].join("/"));
}

/** Files of app/ that the server is made of: what its programs import or start in a thread, and what they read. */
export function serverFiles(): string[] {
	const app = path.join(root, "app");
	const found = new Set(["main.ts", "ecosystem.config.cjs", "lifecycle/pm2-runtime.cjs"]);
	for (const file of found) {
		const source = readFileSync(path.join(app, file), "utf8");
		for (const [, target] of source.matchAll(/(?:\bfrom |\bimport |\bimport\(|\brequire\(|\bnew URL\()"(\.{1,2}\/[^"]+)"/g))
			found.add(path.join(path.dirname(file), target as string));
	}
	const read = ["package.json", ...globSync("stores/migrations/*.sql", { cwd: app })];
	// Those of packages are not the server's own.
	const ownPageFiles = Object.values(pageFiles).filter((file) => !path.isAbsolute(file));
	return [...found, ...read, ...ownPageFiles.map((file) => `page/${file}`)].toSorted();
}

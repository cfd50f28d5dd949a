/**
 * Measures the offline preview: whole processes, from nothing to the last byte printed.
 *
 *     node bench/preview.ts [runs]
 *
 * `dev` and `prod` are the project's stacks as `flowctl preview` shows them, with and without Node's compile cache. The
 * synthetic programs are 100 to 1,000 resources of real AWS classes, recorded and printed the same way: their slope is
 * what one more resource costs. Prints a table and writes bench/results/preview.json; judges nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";

const root = path.dirname(import.meta.dirname);
const flowctl = path.join(root, "cli/flowctl.ts");
const SIZES = [100, 300, 1000];
/** Each process says on its way out how much memory it had at most: KiB, on a channel of its own. */
const REPORT_RSS = `data:text/javascript,${encodeURIComponent(
	`import { writeSync } from "node:fs"; process.on("exit", () => writeSync(3, String(process.resourceUsage().maxRSS)));`,
)}`;

interface Run {
	readonly wallMs: number;
	readonly rssMib: number;
}

interface Case {
	readonly name: string;
	readonly args: readonly string[];
	readonly env?: Readonly<Record<string, string>>;
}

const [first = "10", second] = process.argv.slice(2);
if (first === "--synthetic") await printSynthetic(Number(second));
else await measureAll(Number(first));

async function measureAll(runs: number): Promise<void> {
	const cases: Case[] = [
		{ name: "dev", args: [flowctl, "preview", "dev"] },
		{ name: "prod", args: [flowctl, "preview", "prod"] },
		{ name: "prod, no compile cache", args: [flowctl, "preview", "prod"], env: { NODE_DISABLE_COMPILE_CACHE: "1" } },
		...SIZES.map((size) => ({ name: syntheticName(size), args: [import.meta.filename, "--synthetic", `${size}`] })),
	];
	const measured: { name: string; runs: Run[] }[] = cases.map(({ name }) => ({ name, runs: [] }));
	for (const each of cases) await run(each); // fills the compile cache
	// In turns, so that a busy minute of the machine falls on all of them alike.
	for (let round = 0; round < runs; round++) {
		for (const [index, each] of cases.entries()) measured[index]?.runs.push(await run(each));
	}

	const results = measured.map(({ name, runs: all }) => {
		const wall = all.map(({ wallMs }) => wallMs);
		return {
			name,
			medianMs: median(wall),
			minMs: Math.min(...wall),
			maxMs: Math.max(...wall),
			rssMib: median(all.map(({ rssMib }) => rssMib)),
			runs: all,
		};
	});
	const [small, , large] = SIZES.map((size) => results.find(({ name }) => name === syntheticName(size))?.medianMs as number);
	const msPerResource = ((large as number) - (small as number)) / ((SIZES[2] as number) - (SIZES[0] as number));

	console.table(
		Object.fromEntries(
			results.map(({ name, runs: _, ...numbers }) => [
				name,
				Object.fromEntries(Object.entries(numbers).map(([key, value]) => [key, Math.round(value)])),
			]),
		),
	);
	console.log(`one more resource: ${msPerResource.toFixed(2)} ms`);
	const machine = { cpu: os.cpus()[0]?.model, cpus: os.availableParallelism(), node: process.version, platform: process.platform };
	const folder = path.join(import.meta.dirname, "results");
	mkdirSync(folder, { recursive: true });
	writeFileSync(path.join(folder, "preview.json"), `${JSON.stringify({ machine, runs, msPerResource, results }, null, "\t")}\n`);
}

function syntheticName(size: number): string {
	return `synthetic, ${size} resources`;
}

async function run({ name, args, env }: Case): Promise<Run> {
	const started = performance.now();
	const child = spawn(process.execPath, ["--import", REPORT_RSS, ...args], {
		cwd: root,
		env: { ...process.env, ...env },
		stdio: ["ignore", "pipe", "inherit", "pipe"],
	});
	let rss = "";
	child.stdout?.resume();
	child.stdio[3]?.on("data", (chunk) => {
		rss += chunk;
	});
	const [code] = await once(child, "close");
	if (code !== 0) throw new Error(`${name} exited with ${code}`);
	return { wallMs: performance.now() - started, rssMib: Number(rss) / 1024 };
}

function median(numbers: readonly number[]): number {
	const sorted = numbers.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** A program of `size` resources that depend on each other as real ones do, recorded and printed as `flowctl preview` does it. */
async function printSynthetic(size: number): Promise<void> {
	const { enableCompileCache } = await import("node:module");
	enableCompileCache(path.join(root, "node_modules", ".cache", "flowctl"));
	Error.stackTraceLimit = 0; // as the command has it
	const [{ Subnet }, { Vpc }, { Role }, { SecurityGroup }, { record }, { printStack }, { plain }] = await Promise.all([
		import("@pulumi/aws/ec2/subnet.js"),
		import("@pulumi/aws/ec2/vpc.js"),
		import("@pulumi/aws/iam/role.js"),
		import("@pulumi/aws/ec2/securityGroup.js"),
		import("../preview/record.ts"),
		import("../cli/print/tree.ts"),
		import("../cli/print/paint.ts"),
	]);
	const made = await record({ project: "synthetic", stack: `${size}` }, async () => {
		// With the stack itself and one VPC for every three others, exactly `size` resources.
		for (let index = 0, left = size - 1; left > 0; index++) {
			const vpc = new Vpc(`vpc-${index}`, { cidrBlock: "10.0.0.0/16", tags: { Name: `vpc-${index}` } });
			const others = [
				() => new Subnet(`subnet-${index}`, { vpcId: vpc.id, cidrBlock: "10.0.0.0/24", tags: { Name: `subnet-${index}` } }),
				() =>
					new SecurityGroup(`group-${index}`, {
						vpcId: vpc.id,
						ingress: [{ protocol: "tcp", fromPort: 443, toPort: 443, cidrBlocks: [vpc.cidrBlock] }],
					}),
				() =>
					new Role(`role-${index}`, { assumeRolePolicy: JSON.stringify({ Version: "2012-10-17", Statement: [] }), tags: { vpc: vpc.arn } }),
			];
			for (const make of others.slice(0, left - 1)) make();
			left -= 1 + Math.min(others.length, left - 1);
		}
		return {};
	});
	if (made.resources.length !== size) throw new Error(`${made.resources.length} resources instead of ${size}`);
	process.stdout.write(printStack(made, { inputs: true, paint: plain }));
}

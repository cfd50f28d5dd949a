/**
 * Runs the project's checks, the fast ones first, and all of them whatever fails.
 *
 *     node scripts/test.ts [step ...] [file filter ...]
 *
 * Without a step it runs every one. Filters choose test files by a part of their path. What failed is said again at the
 * end, and the last line counts the tests; the exit code is 1 when a step failed.
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { startVitest, type TestCase, type TestModule, type TestSuite, type Vitest } from "vitest/node";

const root = path.dirname(import.meta.dirname);
const bin = path.join(root, "node_modules", ".bin");

/** Lines of an error, and characters of a line, that are said again at the end. */
const LINES_AGAIN = 12;
const LINE_AGAIN = 400;

interface Outcome {
	readonly passed: number;
	/** What failed, by name, and how: tests, and checks that are none. */
	readonly failed: readonly string[];
	/** Why each skipped test was. */
	readonly skipped: readonly string[];
}

type Step = (filters: string[]) => Promise<Outcome> | Outcome;

const steps: Record<string, Step> = {
	lint: () => run("biome", ["check", "--error-on-warnings", "--diagnostic-level=warn", "."]),
	imports: () => run("node", [path.join(root, "scripts/lint-imports.ts")]),
	// The page runs in browsers: it knows of other things.
	types: () => both(run("tsc", ["--project", root]), run("tsc", ["--project", path.join(root, "app/page")])),
	unit: (filters) => tests("unit", filters, "something that its file names"),
	haproxy: (filters) => tests("haproxy", filters, "HAProxy on the PATH, or its path in HAPROXY"),
	app: (filters) => tests("app", filters, "redis-server and PostgreSQL"),
	local: (filters) => tests("local", filters, "HAProxy, redis-server, PostgreSQL and openssl"),
	page: (filters) => tests("page", filters, "Chromium, redis-server and PostgreSQL"),
	cluster: (filters) => tests("cluster", filters, "KUBEBUILDER_ASSETS: a folder with etcd and kube-apiserver"),
	image: (filters) => tests("image", filters, "podman, redis-server and PostgreSQL"),
};

const words = process.argv.slice(2);
const chosen = words.filter((word) => Object.hasOwn(steps, word));
const filters = words.filter((word) => !Object.hasOwn(steps, word));
const outcomes: Outcome[] = [];
const report: string[] = [];

for (const name of chosen.length > 0 ? chosen : Object.keys(steps)) {
	console.log(`\n# ${name}`);
	const started = Date.now();
	const outcome = await (steps[name] as Step)(filters);
	outcomes.push(outcome);
	report.push(
		`${outcome.failed.length === 0 ? "ok    " : "FAILED"}  ${name.padEnd(8)} ${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s`,
	);
}

const total = (count: (outcome: Outcome) => number) => outcomes.reduce((sum, outcome) => sum + count(outcome), 0);
const reasons = Map.groupBy(
	outcomes.flatMap(({ skipped }) => skipped),
	(reason) => reason,
);
console.log(`\n${report.join("\n")}`);
for (const [reason, { length }] of reasons) console.log(`skipped ${length}: ${reason}`);
const failed = outcomes.flatMap((outcome) => outcome.failed);
for (const name of failed) console.log(`failed: ${name}`);
console.log(`${total(({ passed }) => passed)} passed, ${failed.length} failed, ${total(({ skipped }) => skipped.length)} skipped`);
process.exit(failed.length > 0 ? 1 : 0);

function run(program: string, args: string[]): Outcome {
	const { status } = spawnSync(path.join(bin, program), args, { cwd: root, stdio: "inherit" });
	return { passed: 0, failed: status === 0 ? [] : [[program, ...args].join(" ")], skipped: [] };
}

function both(one: Outcome, other: Outcome): Outcome {
	return { passed: one.passed + other.passed, failed: [...one.failed, ...other.failed], skipped: [...one.skipped, ...other.skipped] };
}

/** The tests of one project of vitest.config.ts. `needs` explains a test that was skipped without a note. */
async function tests(project: string, filters: string[], needs: string): Promise<Outcome> {
	const vitest = await startVitest(filters, { root, project: [project], watch: false, passWithNoTests: true });
	const modules = vitest.state.getTestModules();
	const cases = modules.flatMap(({ children }) => [...children.allTests()]);
	const count = (state: string) => cases.filter((test) => test.result().state === state);
	const failed = [
		...count("failed").map((test) => `${test.module.relativeModuleId}: ${test.fullName}${howFailed(test.result().errors)}`),
		...brokenOutside(vitest, modules),
	];
	const skipped = count("skipped").map((test) => `${test.module.relativeModuleId}: ${whySkipped(test, needs)}`);
	await vitest.close();
	return { passed: count("passed").length, failed, skipped };
}

/** What is known of a failure, where nobody looks for it in what went before. */
function howFailed(errors: readonly { readonly message: string; readonly diff?: string }[] = []): string {
	const lines = errors.flatMap(({ message, diff }) => `${message}\n${diff ?? ""}`.split("\n"));
	return lines
		.map((line) => stripVTControlCharacters(line).trimEnd())
		.filter((line) => line !== "")
		.slice(0, LINES_AGAIN)
		.map((line) => `\n    ${line.slice(0, LINE_AGAIN)}`)
		.join("");
}

function whySkipped(test: TestCase, needs: string): string {
	const result = test.result();
	if (result.state === "skipped" && result.note) return result.note;
	for (let suite: TestSuite | TestModule = test.parent; ; suite = suite.parent) {
		if (suite.errors().length > 0) return "what comes before it failed";
		if (suite.type === "module") return `needs ${needs}`;
	}
}

/** Failures of no test's own: files that do not load, hooks, errors nobody caught. */
function brokenOutside(vitest: Vitest, modules: TestModule[]): string[] {
	const suites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
	const broken = suites.filter((suite) => suite.errors().length > 0);
	return [
		...broken.map((suite) => {
			const name = suite.type === "module" ? suite.relativeModuleId : `${suite.module.relativeModuleId}: ${suite.fullName}`;
			return name + howFailed(suite.errors());
		}),
		...vitest.state.getUnhandledErrors().map((error) => `outside of every test: ${error instanceof Error ? error.message : String(error)}`),
	];
}

import { describe, expect, it } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { flowctl } from "./flowctl.ts";

describe("help", () => {
	it.each([[[]], [["--help"]], [["-h"]], [["help"]]])("is the list of commands for %j", async (argv) => {
		const { code, stdout, stderr } = await flowctl(argv);
		expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
		expect(stdout).toMatchInlineSnapshot(`
			"flowctl <command> [options]
			  Agentic Flow: the whole topology on this machine, and the stacks that put it on AWS.

			On this machine
			  up                       the whole topology as processes of this machine, ready to use
			  status                   every process: its role, health, lag, sockets and requests a second
			  logs [service]           what the processes say
			  reload                   replace all workers, node after node, without a failed request
			  scale <nodes>            add or take away nodes while everything goes on
			  failover <store>         let the replica of a store take its primary's place
			  token <action>           issue, list and revoke tokens; make a login link for a browser
			  import-sqlite <path>...  bring in what the original server kept in SQLite and JSON files
			  down                     stop everything that up has started, and only that
			  doctor                   whether this machine can run the topology, and what to do where it cannot

			Stacks, offline
			  preview <stack>          the whole stack, offline: every resource with its inputs, counts and outputs
			  diff <a> <b>             what differs between two stacks, or two saved previews
			  render <stack>           the stack's Kubernetes objects as YAML, in the order to apply them

			  help <command>           what a command does, its arguments and options

			Options
			  -h, --help  this text
			  --verbose   show the stack trace of a fault of ours (or set FLOWCTL_DEBUG=1)
			  --version   the version of this project

			Exit codes
			  0  done
			  1  it did not work, or a fault of ours: the message says which
			  2  a mistake in settings, files or the command line
			  3  differences, with diff --expect-no-changes
			"
		`);
	});

	it.each(["preview", "diff", "render"])("of %s is the same however it is asked for, and names every option", async (name) => {
		const { code, stdout } = await flowctl(["help", name]);
		expect(code).toBe(0);
		expect(await flowctl([name, "--help"])).toEqual({ code: 0, stdout, stderr: "" });
		expect(stdout).toMatch(new RegExp(`^flowctl ${name} <`));
		expect(stdout.match(/^ {2}(-h, )?--[a-z-]+/gm)?.length).toBeGreaterThan(3);
	});

	it("says which exit code --expect-no-changes has", async () => {
		expect((await flowctl(["help", "diff"])).stdout).toMatch(/--expect-no-changes +exit with 3 if anything differs/);
	});
});

it("the version is that of the package", async () => {
	expect(await flowctl(["--version"])).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: "" });
});

describe("a mistake on the command line exits with 2 and says how to mend it", () => {
	it.each([
		["prevew", 'unknown command "prevew"', 'did you mean "preview"? commands: up, status'],
		["help diif", 'unknown command "diif"', 'did you mean "diff"?'],
		["preview", "<stack>: is missing", "give it: flowctl preview <stack>"],
		["diff dev", "<b>: is missing: the later side", "give it: flowctl diff <a> <b>"],
		["preview dev prod", "prod: is one argument too many", "usage: flowctl preview <stack> [options]"],
		["preview dev --sumary", "--sumary: is not an option", "did you mean --summary? see: flowctl help preview"],
		["preview dev -x", "-x: is not an option", "see: flowctl help preview"],
		["preview dev --json=yes", '--json: takes no value, but got "yes"', "leave it out: --json"],
		["preview dev --out", "--out: needs a value: FILE", "give it: --out FILE"],
		["preview dev --out --json", "--out: needs a value: FILE", "give it: --out FILE"],
		["render dev", "--out: is missing", "give a folder: flowctl render dev --out DIR"],
		["--jsn", "--jsn: is not an option", "see: flowctl --help"],
		["preview devv", 'unknown stack "devv"', 'did you mean "dev"? stacks here: dev, prod'],
		["preview ../dev", 'unknown stack "../dev"', "stacks here: dev, prod"],
		["diff dev none.json", "none.json: there is no such file or folder", "name a file that is there"],
		["diff dev test/cli/", "test/cli/: is a folder, not a file", "name a file that is there"],
		["preview dev --summary --out none/x", "none/x: there is no such file or folder", "name a file in a folder that is there"],
	])("flowctl %s", async (line, what, fix) => {
		const { code, stdout, stderr } = await flowctl(line.split(" "));
		expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
		expect(stderr).toContain(what);
		expect(stderr).toContain(fix);
		expect(stderr).not.toMatch(/\n +at /);
	});
});

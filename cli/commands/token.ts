import { spawnSync } from "node:child_process";
import { OperationFailed, UserError } from "../../core/errors.ts";
import { nearest } from "../../core/nearest.ts";
import { command, exitCodes } from "../command.ts";
import type { Io } from "../io.ts";
import { ask, placeOf, whichOption } from "../local.ts";

const actions = ["issue", "list", "revoke", "login"] as const;

export const tokenCommand = command({
	name: "token",
	summary: "issue, list and revoke tokens; make a login link for a browser",
	details: [
		"issue --subject NAME prints a token, this once. revoke --id ID ends it, its sessions and its\nsockets within seconds. login prints a link that logs a browser in, once, within ten minutes.",
		"For a cluster: --namespace NAMESPACE runs it in a pod of the server there, through kubectl and\nits current context.",
	],
	args: [{ name: "action", summary: actions.join(", ") }],
	options: {
		...whichOption,
		subject: { type: "string", value: "NAME", summary: "issue: whose it is" },
		role: { type: "string", value: "ROLES", summary: "issue: member, or member,operator (member)" },
		workspace: { type: "string", value: "NAME", summary: "issue: which workspace (default)" },
		days: { type: "string", value: "N", summary: "issue: how long it is good (without an end)" },
		id: { type: "string", value: "ID", summary: "revoke, login: which token, by its credentialId" },
		namespace: { type: "string", value: "NAMESPACE", summary: "in a cluster instead of on this machine" },
	},
	async run({ args: [given = ""], options, io }) {
		const action = actions.find((each) => each === given);
		if (action === undefined) {
			const meant = nearest(given, [...actions]);
			const fix = `${meant ? `did you mean "${meant}"? ` : ""}actions: ${actions.join(", ")}`;
			throw new UserError("the command line cannot be used", [{ at: "<action>", what: `is "${given}"`, fix }]);
		}
		const { subject, role, workspace, days, namespace } = options;
		const place = await placeOf(options.port, io);
		const here = namespace === undefined && action === "login" && options.id === undefined;
		const id = here ? (await ask(place, "access", {})).credentialId : options.id;
		const words = [
			action,
			...Object.entries({ subject, role, workspace, days }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, value])),
			...(id === undefined ? [] : action === "login" ? ["--token-id", id] : [id]),
		];
		const output = namespace === undefined ? (await ask(place, "token", { words })).output : throughKubectl(namespace, words, io);
		io.stdout.write(action === "login" && namespace === undefined ? await link(output, options.port, io) : output);
		return exitCodes.done;
	},
});

async function link(output: string, port: string | undefined, io: Io): Promise<string> {
	const { code } = JSON.parse(output) as { code: string };
	const { urls } = await ask(await placeOf(port, io), "status", {});
	return `${urls.http}/#login=${code}\n`;
}

/** An argument list, never a line for a shell. */
function throughKubectl(namespace: string, words: readonly string[], { env }: Io): string {
	const args = ["--namespace", namespace, "exec", "deployment/server", "--", "node", "main.ts", "token", ...words];
	const { status, stdout, stderr, error } = spawnSync("kubectl", args, { encoding: "utf8", env: { ...env } });
	if (error)
		throw new OperationFailed(
			"token failed",
			`kubectl cannot be started: ${error.message}`,
			"install kubectl, and point it at the cluster",
		);
	if (status !== 0) throw new OperationFailed("token failed", stderr.trim(), `kubectl ${args.slice(0, 4).join(" ")} must work first`);
	return stdout;
}

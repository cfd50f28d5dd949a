import { entriesOf, list, number, object, oneOf, type Row, text } from "./entry.ts";

/** What writes does so with the deployment's account. */
const github: readonly Row[] = [
	[
		"github_repo_analyze",
		"reads",
		"Inspects a repository for quality, performance or security.",
		{ repo: text(), analysis_type: oneOf("code_quality", "performance", "security") },
	],
	[
		"github_pr_manage",
		"changesForOperators",
		"Reviews, merges or closes a pull request.",
		{ repo: text(), action: oneOf("review", "merge", "close"), pr_number: number() },
	],
	["github_issue_track", "changesForOperators", "Triages the issues of a repository.", { repo: text(), action: text() }],
	["github_code_review", "changesForOperators", "Reviews a pull request.", { repo: text(), pr: number() }],
	["github_release_coord", "changesForOperators", "Coordinates a release.", { repo: text(), version: text() }],
	["github_workflow_auto", "changesForOperators", "Sets up a CI workflow.", { repo: text(), workflow: object }],
	["github_sync_coord", "changesForOperators", "Synchronises several repositories.", { repos: list }],
	["github_metrics", "reads", "Figures of a repository.", { repo: text() }],
];

export const githubEntries = entriesOf("github", github);

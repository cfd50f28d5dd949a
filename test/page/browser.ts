/** Chromium of this machine, headless, for tests of the page. */
import { existsSync } from "node:fs";
import path from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const program = process.env.CHROMIUM || onPath("chromium");

/** Why there can be no browser here, or null. */
export const browserMissing = program === null ? "needs chromium on the PATH, or its path in CHROMIUM" : null;

export function openBrowser(): Promise<Browser> {
	// Its sandbox needs rights that root in a container has not; only this project's own page is opened in it.
	return chromium.launch({ executablePath: program as string, chromiumSandbox: false });
}

/** A page of a browser without a past, with everything in it that went wrong. */
export interface Visit {
	readonly page: Page;
	/** What a developer would see in red, breaches of the content security policy among it. */
	readonly faults: string[];
	close(): Promise<void>;
}

export async function visit(browser: Browser, options: BrowserContextOptions = {}): Promise<Visit> {
	const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
	const page = await context.newPage();
	page.setDefaultTimeout(15_000);
	const faults: string[] = [];
	page.on("console", (message) => {
		// A worker that gets no processor refuses what it can, and the page comes again.
		const isShed = message.text().includes("status of 503");
		if (!isShed && (message.type() === "error" || message.type() === "warning")) faults.push(`${message.text()} ${message.location().url}`);
	});
	page.on("pageerror", (error) => faults.push(String(error)));
	return { page, faults, close: () => context.close() };
}

function onPath(name: string): string | null {
	const files = (process.env.PATH ?? "").split(path.delimiter).map((folder) => path.join(folder, name));
	return files.find(existsSync) ?? null;
}

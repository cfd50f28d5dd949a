/** Calls of the server's API. The browser sends the session's cookie by itself. */

/** A call that the server refused, in the server's own words. */
export class Refused extends Error {
	/**
	 * @param {number} status
	 * @param {string} message
	 */
	constructor(status, message) {
		super(message);
		this.name = "Refused";
		this.status = status;
	}
}

/** Milliseconds in which an answer must have come. */
const PATIENCE_MS = 10_000;

/**
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<any>} the answer's JSON
 * @throws {Refused}
 */
export async function call(method, path, body) {
	const response = await fetch(path, {
		method,
		headers: body === undefined ? {} : { "content-type": "application/json" },
		body: body === undefined ? null : JSON.stringify(body),
		signal: AbortSignal.timeout(PATIENCE_MS),
	});
	const answer = await response.json().catch(() => null);
	if (response.ok) return answer;
	throw new Refused(response.status, answer?.error ?? `The server answered ${response.status}`);
}

/**
 * What to show where something could not be done.
 * @param {unknown} error
 */
export function reasonOf(error) {
	return error instanceof Refused ? error.message : "The server cannot be reached";
}

/** Bytes of a token's text. */
export const LONGEST_TOKEN = 1_024;

/** The token in an Authorization header; null where it is something else, or longer than any token. */
export function bearerOf(authorization: string): string | null {
	const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
	return token === undefined || token.length > LONGEST_TOKEN ? null : token;
}

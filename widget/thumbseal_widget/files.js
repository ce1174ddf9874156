/** Where the server has the other files; the join puts the digest of their release in. */
export const FILES = "/files/";

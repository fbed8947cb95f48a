// What all scripts share. The node concatenates the files of this folder to one script, page.js, in one scope. Values
// from the node are shown as text and never parsed as markup.

const $ = (id) => document.getElementById(id);

/** The latest sections, by name. */
let sections = {};

/** The node's clock minus the browser's, in ms. */
let clockSkew = 0;

/** The node's time, in ms since 1970. */
const now = () => Date.now() + clockSkew;

/** Whether the viewer sees what belongs to other identities. */
const isAdmin = () => sections.you?.page === "admin";

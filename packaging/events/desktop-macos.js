#!/usr/bin/osascript -l JavaScript
// Shows an event of remote-ollama-proxy as a notification on macOS. It needs nothing else: the event is read as JSON and
// passed as a value, never as a part of a script. The proxy has to run in the account that is logged in, as its launchd agent
// does.
//
//     [events]
//     command = ["/usr/local/lib/remote-ollama-proxy/desktop-macos.js"]
ObjC.import("Foundation");

function run() {
    const bytes = $.NSFileHandle.fileHandleWithStandardInput.readDataToEndOfFile;
    const text = $.NSString.alloc.initWithDataEncoding(bytes, $.NSUTF8StringEncoding);
    const event = JSON.parse(text.js);
    const app = Application.currentApplication();
    app.includeStandardAdditions = true;
    app.displayNotification(event.message, { withTitle: "Ollama in the tailnet" });
}

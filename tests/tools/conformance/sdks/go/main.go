// The smallest service of the Go SDK that checks request identity, or with no key does not: main ADDRESS [KEY]
package main

import (
	"log"
	"net/http"
	"os"
	"strings"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

func greet(_ restate.Context, name string) (string, error) {
	return name, nil
}

func main() {
	greeter := restate.NewService("Greeter").Handler("greet", restate.NewServiceHandler(greet))
	if len(os.Args) == 2 {
		handler, err := server.NewRestate().Bind(greeter).Handler()
		if err != nil {
			log.Fatal(err)
		}
		// This SDK answers at the root only, and routes on RequestURI, which http.StripPrefix leaves as it is.
		mounted := http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
			request.RequestURI = strings.TrimPrefix(request.RequestURI, "/restate")
			handler.ServeHTTP(writer, request)
		})
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Addr: os.Args[1], Handler: mounted, Protocols: protocols}
		log.Fatal(server.ListenAndServe())
	}
	handler, err := server.NewRestate().WithIdentityV1(os.Args[2]).Bidirectional(false).Bind(greeter).Handler()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
